//! What an answer that is no success means.

use std::time::{Duration, SystemTime};

use oci_client::errors::OciEnvelope;
use reqwest::{Response, StatusCode};

use super::retry::Failure;
use crate::names::printable;
use crate::oci::Error;
use crate::oci::http::{retry_after, shown};

/// How much of an error's body is read.
const BODY_LIMIT: usize = 16 << 10;
/// How long it may take; the message is not worth more.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a registry's message is shown.
const MESSAGE_CHARS: usize = 200;

/// The failure that a refusal stands for. `what` was asked for, `now` is this machine's time.
pub async fn failure(response: Response, what: &str, now: SystemTime) -> Failure {
    let (status, address) = (response.status(), shown(response.url()));
    let retry_after = retry_after(&response, now);
    let message = message(response).await;
    let reason = match &message {
        Some(message) => format!("{address} answered {status}: {message}"),
        None => format!("{address} answered {status}"),
    };
    let what = what.to_owned();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::Final(Error::NotFound { what, known: Vec::new() })
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failure::Final(Error::Unauthorized { what, reason })
        }
        status if is_passing(status) => {
            Failure::Transient { error: Error::Network { what, reason }, retry_after }
        }
        _ => Failure::Final(Error::Network { what, reason }),
    }
}

/// Statuses that say "not now": too slow, too early, too many, and the server's own troubles but for the ones
/// that do not pass (501, 505).
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502..=504 | 506..=599)
}

/// The registry's own words (distribution-spec, "Error Codes"), fit for a terminal.
async fn message(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_LIMIT {
                break;
            }
        }
    };
    // What came in time is looked at.
    let _ = tokio::time::timeout(BODY_TIMEOUT, reading).await;
    let envelope: OciEnvelope = serde_json::from_slice(&body).ok()?;
    let messages: Vec<_> =
        envelope.errors.iter().map(|e| e.message.as_str()).filter(|m| !m.is_empty()).collect();
    let text: String = messages.join("; ").chars().take(MESSAGE_CHARS).collect();
    (!text.is_empty()).then(|| printable(text.as_bytes()))
}
