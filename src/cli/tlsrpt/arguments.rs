//! What the commands of `gatepost tlsrpt` are asked.

use clap::{Args, Subcommand};

use crate::cli::arguments::SocketPath;
use crate::mail::tlsrpt::day::Day;
use crate::model::domain::Domain;

#[derive(Debug, Args)]
pub(in crate::cli) struct TlsRpt {
    #[command(flatten)]
    pub(super) socket: SocketPath,
    #[command(subcommand)]
    pub(super) command: TlsRptCommand,
}

/// The book of TLS reports.
#[derive(Debug, Subcommand)]
pub(super) enum TlsRptCommand {
    /// List what was counted for whom, and what became of the reports; the daemon need not run
    List(List),
    /// Show a report as it is sent; the daemon need not run
    Show(OneReport),
    /// Print the DKIM record that must be published for the mail of reports
    Dkim,
    /// Make the running daemon send a report now, whether it was sent before or not
    Send(OneReport),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only reports to this domain
    #[arg(long, value_name = "DOMAIN")]
    pub(super) domain: Option<Domain>,
    /// Only reports about this UTC day, such as 2027-01-02
    #[arg(long, value_name = "DAY")]
    pub(super) day: Option<Day>,
}

#[derive(Debug, Args)]
pub(super) struct OneReport {
    /// The domain that is reported to
    pub(super) domain: Domain,
    /// The UTC day, such as 2027-01-02 [default: the newest; to send, the newest that is over, and no other]
    pub(super) day: Option<Day>,
}
