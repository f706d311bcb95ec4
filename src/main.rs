//! Temporary entry.
fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
    let config = std::env::args().nth(2).unwrap_or_default().into();
    if let Err(error) = gatepost::app::serve(&gatepost::app::Options { config, accept_damage: false }) {
        eprintln!("{error:#?}");
        std::process::exit(2);
    }
}
