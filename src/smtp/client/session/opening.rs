//! The opening of a session: greeting, EHLO or HELO, STARTTLS, and EHLO again.

use crate::model::reply::{Code, Reply};
use crate::model::time::Instant;
use crate::smtp::capabilities::Capabilities;

use super::{Action, ClientSession, FaultKind, ProtocolFault, State, TlsPlan};

impl ClientSession {
    pub(super) fn handle_greeting(&mut self, now: Instant, reply: Reply) {
        if reply.code != Code::SERVICE_READY {
            return self.refuse(reply);
        }
        self.greeting = Some(reply);
        self.send_ehlo(now);
    }

    pub(super) fn handle_ehlo(&mut self, now: Instant, reply: Reply) {
        if reply.code == Code::OK {
            self.capabilities = Capabilities::from_reply(&reply);
            // RFC 8689 section 4.2.1, step 5: only the answer under TLS counts.
            self.capabilities.requiretls &= self.tls;
            return self.choose_tls(now);
        }
        // RFC 5321 section 3.2 asks for HELO after 500, 502, 504; some old servers say 550.
        let knows_no_ehlo = matches!(reply.code.number(), 500 | 502 | 504 | 550);
        if !knows_no_ehlo {
            return self.refuse(reply);
        }
        if self.needs_starttls() {
            // 550 may be a refusal of us rather than of the command.
            return if reply.code == Code::REFUSED { self.refuse(reply) } else { self.fail_without_starttls(now) };
        }
        let helo = format!("HELO {}\r\n", self.settings.ehlo_name);
        self.send(now, helo.into_bytes(), State::Helo);
    }

    fn choose_tls(&mut self, now: Instant) {
        let offered = self.capabilities.starttls;
        match self.settings.tls {
            TlsPlan::IfOffered | TlsPlan::Required if !self.tls && offered => {
                self.send(now, b"STARTTLS\r\n".to_vec(), State::StartTls);
            }
            TlsPlan::Required if !self.tls => self.fail_without_starttls(now),
            _ => self.ready(now),
        }
    }

    pub(super) fn handle_starttls(&mut self, now: Instant, reply: Reply, more: bool) {
        if reply.code != Code::SERVICE_READY {
            return self.refuse(reply);
        }
        if more {
            return self.fail(ProtocolFault::Injected.into());
        }
        self.actions.push_back(Action::StartTls);
        self.enter(now, State::Handshake);
    }

    fn needs_starttls(&self) -> bool {
        self.settings.tls == TlsPlan::Required && !self.tls
    }

    fn fail_without_starttls(&mut self, now: Instant) {
        self.send(now, b"QUIT\r\n".to_vec(), State::StartTls);
        self.fail(FaultKind::StarttlsNotOffered);
    }

    pub(super) fn send_ehlo(&mut self, now: Instant) {
        let ehlo = format!("EHLO {}\r\n", self.settings.ehlo_name);
        self.send(now, ehlo.into_bytes(), State::Ehlo);
    }
}
