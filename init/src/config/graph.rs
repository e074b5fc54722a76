//! Orders services so that each comes after those that it needs.
//!
//! Services and the steps of the boot plan are ordered by the same function. Shutdown goes
//! through the same order backwards.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::environment::nearest;

/// Somebody with needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// Their name.
    pub name: &'a str,
    /// The names of those that come before. A name that occurs twice counts once.
    pub needs: Vec<&'a str>,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphFault {
    /// Two have one name.
    #[error("{name} is defined twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// Nobody has the name that is needed.
    #[error("{name} needs {need}, which does not exist{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// Who needs it.
        name: String,
        /// What is needed.
        need: String,
        /// The name that was most likely meant.
        nearest: Option<String>,
    },
    /// Some wait for each other.
    #[error("{} wait for each other", path.join(" -> "))]
    Cycle {
        /// Each needs the next; the last is the first again.
        path: Vec<String>,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// Indices of `nodes` in an order in which everybody comes after what they need. Those that
/// could come in any order keep the order of `nodes`.
///
/// # Errors
///
/// Every fault: names that occur twice or do not exist, and cycles, of which each node is
/// named in at most one.
pub fn order(nodes: &[Node<'_>]) -> Result<Vec<usize>, Vec<GraphFault>> {
    let mut faults = Vec::new();
    let mut by_name = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        if by_name.insert(node.name, index).is_some() {
            faults.push(GraphFault::Twice {
                name: node.name.to_owned(),
            });
        }
    }
    let mut needs: Vec<Vec<usize>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut known = Vec::with_capacity(node.needs.len());
        for need in &node.needs {
            match by_name.get(need) {
                Some(&index) => known.push(index),
                None => faults.push(GraphFault::Unknown {
                    name: node.name.to_owned(),
                    need: (*need).to_owned(),
                    nearest: nearest(need, by_name.keys().copied()).map(str::to_owned),
                }),
            }
        }
        needs.push(known);
    }
    let mut placed = vec![false; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    loop {
        place_ready(&needs, &mut placed, &mut order);
        let Some(stuck) = placed.iter().position(|placed| !placed) else {
            break;
        };
        let cycle = cycle_from(stuck, &needs, &placed);
        for &index in &cycle {
            placed[index] = true;
        }
        let names = cycle
            .iter()
            .chain(cycle.first())
            .map(|&index| nodes[index].name.to_owned());
        faults.push(GraphFault::Cycle {
            path: names.collect(),
        });
    }
    if faults.is_empty() {
        Ok(order)
    } else {
        Err(faults)
    }
}

/// Places whoever has everything they need, the first in line first, until nobody is left who
/// has.
fn place_ready(needs: &[Vec<usize>], placed: &mut [bool], order: &mut Vec<usize>) {
    let ready = |index: usize, placed: &[bool]| {
        !placed[index] && needs[index].iter().all(|&need| placed[need])
    };
    while let Some(next) = (0..needs.len()).find(|&index| ready(index, placed)) {
        placed[next] = true;
        order.push(next);
    }
}

/// A cycle that is reached from a node that cannot be placed: from each to its first need that
/// is not placed, until somebody is met again.
fn cycle_from(start: usize, needs: &[Vec<usize>], placed: &[bool]) -> Vec<usize> {
    let mut path = vec![start];
    loop {
        let last = path[path.len() - 1];
        // A node that is stuck has a need that is stuck.
        let Some(&next) = needs[last].iter().find(|&&need| !placed[need]) else {
            return path;
        };
        if let Some(met) = path.iter().position(|&index| index == next) {
            return path.split_off(met);
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node<'a>(name: &'a str, needs: &[&'a str]) -> Node<'a> {
        Node {
            name,
            needs: needs.to_vec(),
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_the_rest_keeps_its_order() {
        let nodes = [
            node("web", &["db", "cache"]),
            node("cache", &[]),
            node("db", &["cache"]),
        ];
        assert_eq!(order(&nodes), Ok(vec![1, 2, 0]));
        let free = [node("c", &[]), node("a", &[]), node("b", &[])];
        assert_eq!(order(&free), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_cycle_is_named_from_end_to_end_and_once() {
        let nodes = [
            node("x", &["a"]),
            node("a", &["b"]),
            node("b", &["c"]),
            node("c", &["a"]),
        ];
        let faults = order(&nodes).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(
            faults[0].to_string(),
            "a -> b -> c -> a wait for each other"
        );
        assert_eq!(
            order(&[node("a", &["a"])]).unwrap_err()[0].to_string(),
            "a -> a wait for each other"
        );
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let nodes = [
            node("redis", &[]),
            node("redis", &[]),
            node("web", &["rediss", "zzz"]),
            node("a", &["b"]),
            node("b", &["a"]),
        ];
        let faults: Vec<_> = order(&nodes)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            faults,
            [
                "redis is defined twice",
                "web needs rediss, which does not exist (did you mean redis?)",
                "web needs zzz, which does not exist",
                "a -> b -> a wait for each other",
            ]
        );
    }

    /// Any graph of up to twelve nodes, with every kind of fault but a double name.
    fn graphs() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(prop::collection::vec(0_usize..14, 0..4), 0..12)
    }

    const NAMES: [&str; 14] = [
        "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11", "n12", "n13",
    ];

    proptest! {
        #[test]
        fn an_order_holds_everybody_once_and_after_their_needs(graph in graphs()) {
            let nodes: Vec<_> = graph
                .iter()
                .enumerate()
                .map(|(i, needs)| node(NAMES[i], &needs.iter().map(|&n| NAMES[n]).collect::<Vec<_>>()))
                .collect();
            match order(&nodes) {
                Ok(order) => {
                    let mut place = vec![usize::MAX; nodes.len()];
                    for (at, &index) in order.iter().enumerate() {
                        prop_assert_eq!(place[index], usize::MAX);
                        place[index] = at;
                    }
                    for (index, needs) in graph.iter().enumerate() {
                        prop_assert_ne!(place[index], usize::MAX);
                        for &need in needs {
                            prop_assert!(place[need] < place[index]);
                        }
                    }
                }
                Err(faults) => {
                    prop_assert!(!faults.is_empty());
                    for fault in faults {
                        match fault {
                            GraphFault::Unknown { need, .. } => {
                                prop_assert!(nodes.iter().all(|node| node.name != need));
                            }
                            GraphFault::Cycle { path } => {
                                prop_assert!(path.len() >= 2);
                                prop_assert_eq!(path.first(), path.last());
                                for pair in path.windows(2) {
                                    let from = nodes.iter().find(|node| node.name == pair[0]);
                                    prop_assert!(from.unwrap().needs.contains(&pair[1].as_str()));
                                }
                            }
                            GraphFault::Twice { .. } => prop_assert!(false, "no name is double"),
                        }
                    }
                }
            }
        }

        #[test]
        fn needs_that_only_point_backwards_always_have_an_order(graph in graphs()) {
            let nodes: Vec<_> = graph
                .iter()
                .enumerate()
                .map(|(i, needs)| {
                    node(NAMES[i], &needs.iter().filter(|&&n| n < i).map(|&n| NAMES[n]).collect::<Vec<_>>())
                })
                .collect();
            prop_assert_eq!(order(&nodes), Ok((0..nodes.len()).collect::<Vec<_>>()));
        }
    }
}
