//! How far the address of a DNS server tells whether its word can be believed.

use std::net::{IpAddr, Ipv4Addr};

/// Docker's name server in containers.
const DOCKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Whether a server is on this host, so that nobody stands between.
pub fn is_near(server: IpAddr) -> bool {
    server.to_canonical().is_loopback()
}

/// Whether a server on this host is taken for one that validates, unless something else is written. Docker's is not: it
/// passes on what servers elsewhere say, with the AD bit that anybody on the way can set.
pub fn is_believed(server: IpAddr) -> bool {
    is_near(server) && server.to_canonical() != DOCKER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_this_host_are_near_and_believed_unless_they_pass_on_the_word_of_others() {
        for (server, near, believed) in [
            ("127.0.0.1", true, true),
            ("127.0.0.53", true, true),
            ("::1", true, true),
            ("::ffff:127.0.0.1", true, true),
            ("127.0.0.11", true, false),
            ("::ffff:127.0.0.11", true, false),
            ("10.0.0.1", false, false),
            ("192.0.2.1", false, false),
            ("fe80::1", false, false),
        ] {
            let ip = server.parse().unwrap();
            assert_eq!((is_near(ip), is_believed(ip)), (near, believed), "{server}");
        }
    }
}
