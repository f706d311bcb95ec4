//! L1: what is shown in a browser: markup, charts as SVG, one style for the dashboard and for reports that are files.
//!
//! Pure. Every text is escaped where it is put into markup; nothing here needs a script to be read.
//!
//! Must not: know where values come from, or hold a text that only one page has.

pub mod chart;
pub mod document;
pub mod figures;
pub mod shade;
