//! Secrets of the dashboard: the token of a file, and the sessions of those who logged in with it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use zeroize::Zeroizing;

use crate::model::hex;
use crate::model::time::Instant;

/// Characters without which nobody would have to guess for long.
const TOKEN_CHARS_MIN: usize = 24;
const TOKEN_FILE_BYTES_MAX: u64 = 4096;
const SESSION_BYTES: usize = 32;
/// Who is logged in at once; the one who has been longest makes room.
const SESSIONS_MAX: usize = 64;
/// How long a session lasts.
pub const SESSION_LENGTH: Duration = Duration::from_secs(12 * 3600);

/// What is wrong with `[admin].token_file`. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot read {}: {source}; it must exist and the user that the relay starts as must be able to read it",
            path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} holds fewer than {TOKEN_CHARS_MIN} characters; write a random one: openssl rand -base64 32 >{}",
            path.display(), path.display())]
    TooShort { path: PathBuf },
    #[error("{} holds more than one line of printable characters; write a random one: openssl rand -base64 32 >{}",
            path.display(), path.display())]
    Malformed { path: PathBuf },
}

/// A token as its hash: comparing takes the same time whatever is guessed.
#[derive(Clone, Debug)]
pub struct Token(Digest);

impl Token {
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
        let mut text = Zeroizing::new(String::new());
        let file = File::open(path).map_err(unreadable)?;
        file.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
        let token = text.trim_ascii();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed { path: path.to_owned() });
        }
        if token.len() < TOKEN_CHARS_MIN {
            return Err(TokenError::TooShort { path: path.to_owned() });
        }
        Ok(Self::of(token))
    }

    fn of(token: &str) -> Self {
        Self(digest(&SHA256, token.as_bytes()))
    }

    pub fn is(&self, guess: &str) -> bool {
        self.is_same(&Self::of(guess))
    }

    fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

/// Who is logged in.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The hash of what the browser keeps; since when, and by which token.
    known: Mutex<HashMap<Vec<u8>, (Instant, Token)>>,
}

impl Sessions {
    /// What the browser is to keep; `None` where the system has no random numbers.
    pub fn begin(&self, now: Instant, token: &Token) -> Option<String> {
        let mut bytes = [0; SESSION_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let secret = hex::encode(&bytes);
        let mut known = self.known();
        known.retain(|_, (since, _)| now.saturating_since(*since) < SESSION_LENGTH);
        if known.len() >= SESSIONS_MAX
            && let Some(oldest) = known.iter().min_by_key(|(_, (since, _))| *since).map(|(hash, _)| hash.clone())
        {
            known.remove(&oldest);
        }
        known.insert(hash(&secret), (now, token.clone()));
        Some(secret)
    }

    /// `token` is the one that holds now: with another one a session is over.
    pub fn holds(&self, secret: &str, now: Instant, token: &Token) -> bool {
        let is_valid =
            |(since, by): &(Instant, Token)| now.saturating_since(*since) < SESSION_LENGTH && by.is_same(token);
        self.known().get(&hash(secret)).is_some_and(is_valid)
    }

    pub fn end(&self, secret: &str) {
        self.known().remove(&hash(secret));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Vec<u8>, (Instant, Token)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is looked up is not what was sent, so the time that it takes tells nothing of it.
fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_that_nobody_guesses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let long = "0123456789abcdef01234567";
        for (text, expected) in [
            (long.to_owned(), Ok(())),
            (format!("  {long}\n"), Ok(())),
            ("0123456789abcdef0123456".to_owned(), Err("fewer than 24")),
            (String::new(), Err("fewer than 24")),
            (format!("{long}\n{long}"), Err("more than one line")),
            (format!("{long}\u{fc}"), Err("more than one line")),
        ] {
            std::fs::write(&path, &text).unwrap();
            match (Token::read(&path), expected) {
                (Ok(token), Ok(())) => assert!(token.is(long) && !token.is("") && !token.is(&format!("{long}x"))),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text:?}: {error}"),
                (token, _) => panic!("{text:?}: {token:?}"),
            }
        }
        let missing = Token::read(&folder.path().join("none")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read"), "{missing}");
    }

    #[test]
    fn a_session_holds_until_its_end_and_there_are_never_too_many() {
        let (token, other) = (Token::of("one"), Token::of("other"));
        let (sessions, start) = (Sessions::default(), Instant::ZERO);
        let after = |seconds| start + Duration::from_secs(seconds);
        let first = sessions.begin(start, &token).unwrap();
        let second = sessions.begin(after(1), &token).unwrap();
        assert!(sessions.holds(&first, start, &token) && sessions.holds(&second, after(1), &token));
        assert!(!sessions.holds("", start, &token) && !sessions.holds(&"0".repeat(64), start, &token));
        assert!(!sessions.holds(&first, start + SESSION_LENGTH, &token));
        assert!(!sessions.holds(&first, start, &other), "a session ends with its token");
        for seconds in 2..=SESSIONS_MAX as u64 {
            sessions.begin(after(seconds), &token).unwrap();
        }
        assert!(!sessions.holds(&first, after(70), &token), "the oldest makes room");
        assert!(sessions.holds(&second, after(70), &token));
        sessions.end(&second);
        assert!(!sessions.holds(&second, after(70), &token));
    }
}
