//! The spool over a filesystem that fails on purpose.
