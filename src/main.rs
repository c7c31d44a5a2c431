//! The binary: everything lives in the library, so that tests and benchmarks can reach it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kmswatch::cli::main()
}
