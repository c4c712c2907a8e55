//! Task scale-in protection on ECS: a task with leased messages asks to be spared when its service shrinks.
//!
//! The agent of the task takes the wish
//! (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html>) at
//! `ECS_AGENT_URI`; where that is not set, nobody is asked. Protection is a courtesy that saves work from being done
//! twice: a task that is stopped all the same drains, and what it cannot finish is somebody else's after the lease.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use services::{ErrorKind, PortError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long protection lasts unless it is asked for again.
const EXPIRY: Duration = Duration::from_secs(10 * 60);
/// How long a task is without work before it gives protection back: services scale by minutes, calls are counted.
const IDLE: Duration = Duration::from_secs(30);
/// Time between two looks at the work.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a wish that was not granted.
const PAUSE: Duration = Duration::from_secs(15);
/// Longest wait for the agent's answer, and the most of it that is read.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 4_096;

/// What the agent is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Protect,
    Release,
}

/// Decides when to ask for what.
#[derive(Debug, Default)]
struct Policy {
    protected_until: Option<Instant>,
    idle_since: Option<Instant>,
}

impl Policy {
    fn on_look(&mut self, now: Instant, is_busy: bool) -> Option<Wish> {
        if is_busy {
            self.idle_since = None;
            let lasts = self.protected_until.is_some_and(|until| now + EXPIRY / 2 < until);
            return (!lasts).then_some(Wish::Protect);
        }
        self.protected_until.filter(|until| now < *until)?;
        let since = *self.idle_since.get_or_insert(now);
        (since + IDLE <= now).then_some(Wish::Release)
    }

    fn on_granted(&mut self, now: Instant, wish: Wish) {
        self.protected_until = match wish {
            Wish::Protect => Some(now + EXPIRY),
            Wish::Release => None,
        };
        self.idle_since = None;
    }
}

/// The ECS agent of this task.
#[derive(Debug)]
pub struct TaskProtection {
    uri: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl TaskProtection {
    /// The agent that the environment names; none outside of ECS.
    pub fn from_environment() -> Option<Self> {
        std::env::var("ECS_AGENT_URI").ok().map(|agent| Self::at(&agent))
    }

    fn at(agent: &str) -> Self {
        let uri = format!("{agent}/task-protection/v1/state");
        Self { uri, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Asks for protection while `is_busy` says so, without end; what the agent refuses is logged and asked again.
    pub async fn keep(&self, is_busy: impl Fn() -> bool) {
        let mut policy = Policy::default();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = looks.tick().await;
            let Some(wish) = policy.on_look(now, is_busy()) else { continue };
            match self.ask(wish).await {
                Ok(()) => policy.on_granted(now, wish),
                Err(error) => {
                    tracing::warn!(%error, "the task may be stopped while it works");
                    looks.reset_after(PAUSE);
                }
            }
        }
    }

    async fn ask(&self, wish: Wish) -> Result<(), PortError> {
        let attempt = || {
            format!(
                "ask ECS agent to {}",
                if wish == Wish::Protect { "protect" } else { "release" }
            )
        };
        let away = |error: Box<dyn std::error::Error + Send + Sync>| {
            PortError::new(ErrorKind::Unavailable, attempt(), error)
        };
        let request = http::Request::put(&self.uri)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body(wish))))
            .map_err(|error| PortError::new(ErrorKind::Invalid, attempt(), error))?;
        let answered = timeout(ANSWER_TIMEOUT, self.client.request(request)).await;
        let answer =
            answered.map_err(|error| away(error.into()))?.map_err(|error| away(error.into()))?;
        let status = answer.status();
        let told = timeout(ANSWER_TIMEOUT, Limited::new(answer, MAX_ANSWER_BYTES).collect()).await;
        let told = told.map_err(|error| away(error.into()))?.map_err(away)?.to_bytes();
        if is_granted(&told, wish) {
            return Ok(());
        }
        let cause = format!("HTTP {status}: {}", String::from_utf8_lossy(&told).trim());
        Err(PortError::because(ErrorKind::Denied, attempt(), cause))
    }
}

/// Tells whether the agent's answer is the wish: a `failure` comes with HTTP 200, too.
fn is_granted(answer: &[u8], wish: Wish) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    answer["protection"]["ProtectionEnabled"] == (wish == Wish::Protect)
}

fn body(wish: Wish) -> String {
    match wish {
        Wish::Protect => {
            let minutes = EXPIRY.as_secs() / 60;
            serde_json::json!({ "ProtectionEnabled": true, "ExpiresInMinutes": minutes })
                .to_string()
        }
        Wish::Release => serde_json::json!({ "ProtectionEnabled": false }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Reply, Scripted};

    #[tokio::test]
    async fn protection_is_asked_for_while_there_is_work_and_renewed_in_time() {
        let mut policy = Policy::default();
        let start = Instant::now();
        assert_eq!(policy.on_look(start, false), None);
        assert_eq!(policy.on_look(start, true), Some(Wish::Protect));
        policy.on_granted(start, Wish::Protect);
        assert_eq!(policy.on_look(start + EXPIRY / 3, true), None);
        assert_eq!(policy.on_look(start + EXPIRY / 2, true), Some(Wish::Protect));
    }

    #[tokio::test]
    async fn protection_is_given_back_after_a_while_without_work() {
        let mut policy = Policy::default();
        let start = Instant::now();
        policy.on_granted(start, Wish::Protect);
        assert_eq!(policy.on_look(start, false), None);
        assert_eq!(policy.on_look(start + IDLE / 2, true), None);
        assert_eq!(policy.on_look(start + IDLE, false), None);
        assert_eq!(policy.on_look(start + IDLE * 2, false), Some(Wish::Release));
        policy.on_granted(start + IDLE * 2, Wish::Release);
        assert_eq!(policy.on_look(start + IDLE * 9, false), None);
    }

    #[tokio::test]
    async fn the_agent_is_told_what_it_expects() {
        let granted = |is_protected: bool| {
            let protection = serde_json::json!({ "ProtectionEnabled": is_protected });
            Reply::ok(serde_json::json!({ "protection": protection }).to_string())
        };
        let agent = Scripted::start([granted(true), granted(false)]).await;
        let protection = TaskProtection::at(agent.url());
        protection.ask(Wish::Protect).await.unwrap();
        protection.ask(Wish::Release).await.unwrap();
        let requests = agent.requests();
        assert_eq!(requests[0].method, "PUT");
        assert_eq!(requests[0].path, "/task-protection/v1/state");
        let protect = serde_json::json!({ "ProtectionEnabled": true, "ExpiresInMinutes": 10 });
        assert_eq!(requests[0].json(), protect);
        assert_eq!(requests[1].json(), serde_json::json!({ "ProtectionEnabled": false }));
    }

    #[tokio::test]
    async fn a_refusal_is_said_in_the_agents_words() {
        let blocked = r#"{"failure":{"Arn":"task","Reason":"DEPLOYMENT_BLOCKED","Detail":null}}"#;
        let wrong = r#"{"error":{"Code":"AccessDeniedException","Message":"not authorized"}}"#;
        for (status, answer, told) in [
            (200, blocked, "HTTP 200 OK: {\"failure\":{"),
            (400, wrong, "HTTP 400 Bad Request: {\"error\":{"),
            (200, "not JSON", "HTTP 200 OK: not JSON"),
        ] {
            let agent = Scripted::start([Reply::status(status).body(answer)]).await;
            let error = TaskProtection::at(agent.url()).ask(Wish::Protect).await.unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(&format!("ask ECS agent to protect: {told}")), "{error}");
        }
    }
}
