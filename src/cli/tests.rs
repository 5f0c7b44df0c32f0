use super::*;

#[test]
fn clap_accepts_the_definition() {
    Cli::definition().debug_assert();
}
