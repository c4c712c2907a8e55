//! Logins as cameras ask for them: basic (RFC 7617), digest with MD5 (RFC 2617, without qop, as most
//! cameras do it) and with SHA-256 (RFC 7616, qop `auth`).

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};
use sha2::Sha256;

use crate::config::{AuthScheme, Login};

const REALM: &str = "fake-camera";

/// Writes the `WWW-Authenticate` value that asks for `login`.
pub(crate) fn challenge(scheme: AuthScheme, nonce: &str) -> String {
    match scheme {
        AuthScheme::Basic => format!(r#"Basic realm="{REALM}""#),
        AuthScheme::DigestMd5 => format!(r#"Digest realm="{REALM}", nonce="{nonce}""#),
        AuthScheme::DigestSha256 => {
            format!(r#"Digest realm="{REALM}", nonce="{nonce}", algorithm=SHA-256, qop="auth""#)
        }
    }
}

/// Tells whether the `Authorization` value proves the login for a request of `method`.
pub(crate) fn proves(login: &Login, nonce: &str, method: &str, authorization: &str) -> bool {
    let Some((scheme, rest)) = authorization.trim().split_once(' ') else { return false };
    match login.scheme {
        AuthScheme::Basic => {
            scheme.eq_ignore_ascii_case("basic") && rest.trim() == basic_credentials(login)
        }
        AuthScheme::DigestMd5 | AuthScheme::DigestSha256 => {
            scheme.eq_ignore_ascii_case("digest")
                && digest_matches(login, nonce, method, &parameters(rest)).unwrap_or(false)
        }
    }
}

fn basic_credentials(login: &Login) -> String {
    BASE64_STANDARD.encode(format!("{}:{}", login.user, login.password))
}

/// `None` when a parameter is missing.
fn digest_matches(
    login: &Login,
    nonce: &str,
    method: &str,
    given: &BTreeMap<String, String>,
) -> Option<bool> {
    let get = |name: &str| given.get(name).map(String::as_str);
    if get("username")? != login.user || get("realm")? != REALM || get("nonce")? != nonce {
        return Some(false);
    }
    let hash = |text: String| match login.scheme {
        AuthScheme::DigestSha256 => hex(&Sha256::digest(text)),
        AuthScheme::Basic | AuthScheme::DigestMd5 => hex(&Md5::digest(text)),
    };
    let secret = hash(format!("{}:{REALM}:{}", login.user, login.password));
    let request = hash(format!("{method}:{}", get("uri")?));
    let expected = match get("qop") {
        Some(qop) => {
            let (count, client_nonce) = (get("nc")?, get("cnonce")?);
            hash(format!("{secret}:{nonce}:{count}:{client_nonce}:{qop}:{request}"))
        }
        None => hash(format!("{secret}:{nonce}:{request}")),
    };
    Some(get("response")?.eq_ignore_ascii_case(&expected))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads `name="value", name=value, …`; quoted values may hold commas.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let (value, tail) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.trim().to_owned());
        rest = tail;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(scheme: AuthScheme) -> Login {
        Login { user: "viewer".into(), password: "sesame".into(), scheme }
    }

    #[test]
    fn parameters_may_be_quoted_and_hold_commas() {
        let found = parameters(r#"username="a, b", nc=00000001,uri="rtsp://h/x?y=z" , qop=auth"#);
        assert_eq!(found["username"], "a, b");
        assert_eq!(found["nc"], "00000001");
        assert_eq!(found["uri"], "rtsp://h/x?y=z");
        assert_eq!(found["qop"], "auth");
    }

    #[test]
    fn basic_takes_the_right_password_only() {
        let login = login(AuthScheme::Basic);
        let right = format!("Basic {}", BASE64_STANDARD.encode("viewer:sesame"));
        let wrong = format!("Basic {}", BASE64_STANDARD.encode("viewer:Sesame"));
        assert!(proves(&login, "n", "PLAY", &right));
        assert!(!proves(&login, "n", "PLAY", &wrong));
        assert!(!proves(&login, "n", "PLAY", ""));
    }

    /// The responses were computed with `md5sum` and `sha256sum`.
    #[test]
    fn digest_takes_what_other_programs_compute() {
        let md5 = r#"Digest username="viewer", realm="fake-camera", nonce="abc", uri="rtsp://h/gate", response="d4c3cb335fae596f28b446aaf6459ed9""#;
        assert!(proves(&login(AuthScheme::DigestMd5), "abc", "DESCRIBE", md5));
        let sha = r#"Digest username="viewer", realm="fake-camera", nonce="abc", uri="rtsp://h/gate", nc=00000001, cnonce="xyz", qop=auth, response="94cc5224a1a6a4338ac3c0c4f41f5702c945c5357497e7a5a3ade9173e206d57""#;
        assert!(proves(&login(AuthScheme::DigestSha256), "abc", "DESCRIBE", sha));
    }

    #[test]
    fn a_digest_for_another_nonce_method_or_user_proves_nothing() {
        let md5 = r#"Digest username="viewer", realm="fake-camera", nonce="abc", uri="rtsp://h/gate", response="d4c3cb335fae596f28b446aaf6459ed9""#;
        let login = login(AuthScheme::DigestMd5);
        assert!(!proves(&login, "other", "DESCRIBE", md5));
        assert!(!proves(&login, "abc", "PLAY", md5));
        assert!(!proves(&login, "abc", "DESCRIBE", &md5.replace("viewer", "Viewer")));
        assert!(!proves(&login, "abc", "DESCRIBE", "Digest username=\"viewer\""));
    }
}
