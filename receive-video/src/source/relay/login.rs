//! User name and password, and how they are proven: they stay here, and go to the camera alone.

use http_auth::{PasswordClient, PasswordParams};
use retina::client::Credentials;

use super::head::Head;

/// How often a request is asked again: a first challenge, and one more when its nonce has grown old.
const TRIES: u32 = 2;

/// A login, and the challenge to it that came last.
pub(super) struct Login {
    credentials: Option<Credentials>,
    client: Option<PasswordClient>,
}

impl Login {
    /// A login that was not asked for yet.
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials, client: None }
    }

    /// Takes the challenge of a 401; tells whether the request is worth asking again, after so many `tries`.
    pub(super) fn is_challenged(&mut self, answer: &Head, tries: u32) -> bool {
        if self.credentials.is_none() || tries >= TRIES {
            return false;
        }
        // The same challenge again is a password that is refused.
        if tries > 0 && !is_stale(answer) {
            return false;
        }
        let mut challenges = PasswordClient::builder();
        for challenge in answer.all("WWW-Authenticate") {
            challenges = challenges.challenges(challenge);
        }
        self.client = challenges.build().ok();
        self.client.is_some()
    }

    /// Proves the login in a request, if it was asked for.
    pub(super) fn sign(&mut self, request: &mut Head) {
        let (Some(credentials), Some(client)) = (&self.credentials, &mut self.client) else {
            return;
        };
        let proof = client.respond(&PasswordParams {
            username: &credentials.username,
            password: &credentials.password,
            uri: request.uri(),
            method: request.method(),
            body: Some(&[]),
        });
        if let Ok(proof) = proof {
            request.set("Authorization", &proof);
        }
    }
}

fn is_stale(answer: &Head) -> bool {
    answer.all("WWW-Authenticate").any(|challenge| {
        let challenge = challenge.to_ascii_lowercase().replace([' ', '"'], "");
        challenge.contains("stale=true")
    })
}
