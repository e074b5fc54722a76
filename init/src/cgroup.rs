//! Control groups: skeleton.

/// A control group that children can start in.
#[derive(Debug)]
pub struct Cgroup {}
