//! Makes the program begin at its own entry point: see `src/entry.rs`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bin=cib-init=-Wl,--entry=cib_init_entry");
}
