//! The crypto provider of every TLS configuration here: aws-lc-rs, suites strongest first, post-quantum groups on.

use std::cmp::Reverse;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::model::cipher::CipherSuite;

/// A provider of its own for each configuration; nothing relies on the default of the process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        CipherSuite::by_number(suite.suite().into())
            .map_or((Reverse(false), Reverse(0)), |row| (Reverse(row.is_tls13()), Reverse(row.bits)))
    });
    Arc::new(provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_a_row_in_the_table_and_stronger_ones_come_first() {
        let rows: Vec<&CipherSuite> = provider()
            .cipher_suites
            .iter()
            .map(|suite| CipherSuite::by_number(suite.suite().into()).unwrap_or_else(|| panic!("{suite:?}")))
            .collect();
        for version13 in [true, false] {
            let bits: Vec<u16> = rows.iter().filter(|row| row.is_tls13() == version13).map(|row| row.bits).collect();
            assert!(bits.is_sorted_by(|a, b| a >= b), "{bits:?}");
            assert!(bits.contains(&256) && bits.contains(&128), "{bits:?}");
        }
    }

    #[test]
    fn the_first_group_is_post_quantum() {
        let first = provider().kx_groups.first().map(|group| group.name());
        assert_eq!(first, Some(rustls::NamedGroup::X25519MLKEM768));
    }
}
