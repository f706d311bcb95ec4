//! The way in: who reads from this host needs nothing; who comes from elsewhere logs in with the token, over TLS.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Extension, FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::admin::http::Caller;
use crate::admin::secret::{SESSION_LENGTH, Sessions, Token, TokenError};
use crate::clock;
use crate::config::AdminConfig;
use crate::page::document::linked;
use crate::tls::https::{HttpsError, https_server};

use super::{Site, api};

/// Bound to this host and to TLS by its name (RFC 6265bis section 4.1.3.2).
const COOKIE: &str = "__Host-gatepost";
/// Where programs ask.
const API: &str = "/api/";
/// A wrong token is answered no sooner.
const WRONG_PAUSE: Duration = Duration::from_millis(500);
/// How long a body may be on its way.
pub(super) const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// What is shown before anybody has logged in.
const PUBLIC: [&str; 4] = ["/login", "/static/style.css", "/static/live.js", "/static/icon.svg"];

/// Why nobody can be let in as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("[admin].token_file: {0}")]
    Token(#[from] TokenError),
    #[error("[admin].certificate: {0}")]
    Certificate(#[from] HttpsError),
}

impl DoorError {
    /// Without the key, for whoever names that beside it.
    pub fn what(&self) -> String {
        match self {
            Self::Token(error) => error.to_string(),
            Self::Certificate(error) => error.to_string(),
        }
    }
}

/// Who is let in, and over what.
#[derive(Clone, Default)]
pub struct Door {
    token: Option<Token>,
    tls: Option<TlsAcceptor>,
    /// Everybody who comes here is of this host.
    is_loopback: bool,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("is_loopback", &self.is_loopback).finish_non_exhaustive()
    }
}

impl Door {
    /// Reads the files that are named.
    pub fn read(config: &AdminConfig) -> Result<Self, DoorError> {
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        let tls = config.certificate.as_ref().map(https_server).transpose()?.map(TlsAcceptor::from);
        Ok(Self { token, tls, is_loopback: config.bind.is_some_and(|bind| bind.ip().is_loopback()) })
    }

    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        self.tls.clone()
    }

    pub(super) fn asks_for_login(&self) -> bool {
        !self.is_loopback
    }

    fn is_logged_in(&self, sessions: &Sessions, headers: &HeaderMap) -> bool {
        let pair = self.token.as_ref().zip(cookie(headers));
        pair.is_some_and(|(token, secret)| sessions.holds(secret, clock::now(), token))
    }

    fn claim(&self, headers: &HeaderMap) -> Claim {
        match (bearer(headers), &self.token) {
            (None, _) => Claim::None,
            (Some(token), Some(own)) if own.is(token) => Claim::Right,
            (Some(_), _) => Claim::Wrong,
        }
    }
}

/// What a request shows for the token, without a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    None,
    Wrong,
    Right,
}

/// Lets in whoever is logged in, or need not be.
pub(super) async fn let_in(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let is_api = is_api(&request);
    let claim = if is_api { site.door().claim(request.headers()) } else { Claim::None };
    let is_known = claim == Claim::Right || site.door().is_logged_in(&site.sessions, request.headers());
    let is_public = PUBLIC.contains(&request.uri().path());
    if !site.door().asks_for_login() || is_public || is_known {
        return next.run(request).await;
    }
    match *request.method() {
        Method::GET | Method::HEAD if !is_api => Redirect::to("/login").into_response(),
        _ => unproven(claim, request.extensions().get()).await,
    }
}

pub(super) fn is_api(request: &Request) -> bool {
    request.uri().path().starts_with(API)
}

/// Changes want the token itself with each request, from this host too: a browser adds a cookie, and a page of anybody
/// may ask from here, but neither knows the token.
pub(super) async fn prove(site: &Site, caller: &Caller, headers: &HeaderMap) -> Result<(), Response> {
    let door = site.door();
    if door.token.is_none() {
        return Err(api::refused(
            StatusCode::FORBIDDEN,
            "changes need a token, and none is configured: write one (openssl rand -base64 32 >admin.token; \
             chmod 600 admin.token), name it in [admin] as token_file, and reload; or use the command line",
        ));
    }
    match door.claim(headers) {
        Claim::Right => Ok(()),
        claim => Err(unproven(claim, Some(caller)).await),
    }
}

async fn unproven(claim: Claim, caller: Option<&Caller>) -> Response {
    let (challenge, why) = match claim {
        Claim::Wrong => {
            tracing::warn!(client = ?caller.map(Caller::address), "a wrong token for the API");
            tokio::time::sleep(WRONG_PAUSE).await;
            ("Bearer error=\"invalid_token\"", "this is not the token that [admin].token_file holds")
        }
        _ => ("Bearer", "send the token that [admin].token_file holds: Authorization: Bearer …"),
    };
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))];
    (challenge, api::refused(StatusCode::UNAUTHORIZED, why)).into_response()
}

/// RFC 6750 section 2.1
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// The form.
pub(super) async fn page(State(site): State<Arc<Site>>) -> Response {
    form(&site, false)
}

fn form(site: &Site, is_wrong: bool) -> Response {
    let hostname = &(site.config)().hostname;
    let body = html! {
        main #main {
            h1 { "Gatepost on " (hostname) }
            section.card {
                form.line action="/login" method="post" {
                    label for="token" { "Token"
                        input #token name="token" type="password" autocomplete="current-password" required
                            aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some("wrong")];
                    }
                    button.main type="submit" { "Log in" }
                }
                @if is_wrong { p #wrong role="alert" { span.tag.bad { "wrong" } " This is not the token." } }
                p.lead { "It stands in the file that [admin].token_file of the relay's configuration names." }
            }
        }
    };
    let title = format!("Log in - {hostname} - Gatepost");
    let code = if is_wrong { StatusCode::FORBIDDEN } else { StatusCode::OK };
    let page = linked(&title, ("/static/style.css", "/static/live.js"), &body).into_string();
    (code, axum::response::Html(page)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Login {
    token: String,
}

pub(super) async fn log_in(
    State(site): State<Arc<Site>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let Ok(login) = timeout(BODY_TIME_MAX, Form::<Login>::from_request(request, &())).await else {
        return StatusCode::REQUEST_TIMEOUT.into_response();
    };
    let Form(login) = match login {
        Ok(login) => login,
        Err(broken) => return broken.into_response(),
    };
    let (door, client) = (site.door(), caller.address());
    let Some(token) = door.token.as_ref().filter(|token| token.is(login.token.trim())) else {
        tracing::warn!(%client, "a wrong token for the dashboard");
        tokio::time::sleep(WRONG_PAUSE).await;
        return form(&site, true);
    };
    let Some(secret) = site.sessions.begin(clock::now(), token) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    tracing::info!(%client, "somebody has logged in to the dashboard");
    with_cookie(&secret, SESSION_LENGTH)
}

pub(super) async fn log_out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    if let Some(secret) = cookie(&headers) {
        site.sessions.end(secret);
    }
    with_cookie("", Duration::ZERO)
}

fn with_cookie(value: &str, length: Duration) -> Response {
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict", length.as_secs());
    let mut response = Redirect::to("/").into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        for (cookies, expected) in [
            (&["__Host-gatepost=ab"][..], Some("ab")),
            (&["a=b; __Host-gatepost=ab; c=d"], Some("ab")),
            (&["a=b", "__Host-gatepost=ab"], Some("ab")),
            (&["gatepost=ab", "x__Host-gatepost=ab", "__Host-gatepost"], None),
        ] {
            let headers = cookies.iter().map(|cookie| (header::COOKIE, HeaderValue::from_static(cookie)));
            let mut map = HeaderMap::new();
            headers.for_each(|(name, value)| _ = map.append(name, value));
            assert_eq!(cookie(&map), expected, "{cookies:?}");
        }
    }
}
