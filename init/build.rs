//! Makes the program begin at the bare init's entry point: see `bare/src/sys/entry.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bin=cib-init=-Wl,--entry=cib_init_entry");
}
