//! One JSON object a line on standard output, for log shippers.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt, Stdout};
use tokio::sync::Mutex;

use super::{BodyFormat, BuildError, Character, Class, DeliveryError, Dispatch, FailReason, Receipt, Sink, SinkContext};
use crate::base::diagnostic::Problem;

/// `[sinks.<name>.stdout]`
#[derive(Debug, Clone, PartialEq, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What a line holds. Default: `kmswatch`.
    #[serde(default)]
    pub format: BodyFormat,
}

impl Config {
    pub const MAX_PER_MINUTE: Option<u32> = None;

    pub fn check(&self, _: Range<usize>, _: &mut Vec<Problem>) {}

    pub fn build(&self, _: &SinkContext) -> Result<Arc<dyn Sink>, BuildError> {
        Ok(Arc::new(Lines::<Stdout> { out: Mutex::new(tokio::io::stdout()), format: self.format }))
    }
}

struct Lines<W> {
    out: Mutex<W>,
    format: BodyFormat,
}

#[async_trait]
impl<W: AsyncWrite + Send + Unpin> Sink for Lines<W> {
    fn kind(&self) -> &'static str {
        "stdout"
    }

    fn character(&self) -> Character {
        Character::Machine
    }

    async fn deliver(&self, dispatch: &Dispatch<'_>) -> Result<Receipt, DeliveryError> {
        let line = self.format.line(dispatch);
        let mut out = self.out.lock().await;
        // In one piece, so that nothing else written there gets between.
        let written = async {
            out.write_all(line.as_bytes()).await?;
            out.flush().await
        };
        written.await.map(|()| Receipt::default()).map_err(|error| {
            DeliveryError::new(Class::Retry { after: None }, FailReason::Io, format!("standard output: {error}")).unknown()
        })
    }

    async fn probe(&self) -> Result<(), DeliveryError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::kit;
    use crate::sink::sample::Sample;

    #[tokio::test]
    async fn every_notification_is_one_line_of_json() {
        let lines = Lines { out: Mutex::new(Vec::<u8>::new()), format: BodyFormat::Kmswatch };
        for sample in Sample::ALL {
            let n = kit::sample(sample);
            lines.deliver(&kit::dispatch(&n)).await.unwrap();
        }
        let hostile = kit::hostile();
        lines.deliver(&kit::dispatch(&hostile)).await.unwrap();
        let out = String::from_utf8(lines.out.into_inner()).unwrap();
        let objects: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), Sample::ALL.len() + 1);
        assert_eq!(objects[0]["type"], "kmswatch.trigger");
        assert_eq!(objects[0]["data"]["incident"]["rule"], "key-disabled");
        assert_eq!(objects[0]["data"]["delivery"], kit::KEY);
        assert!(out.len() < 400_000, "a megabyte was cut");
    }

    #[tokio::test]
    async fn a_closed_pipe_is_retried() {
        let (reader, writer) = tokio::io::duplex(8);
        drop(reader);
        let n = kit::sample(Sample::KeyDisabled);
        let error = Lines { out: Mutex::new(writer), format: BodyFormat::Kmswatch }.deliver(&kit::dispatch(&n)).await.unwrap_err();
        assert!(matches!(error.class, Class::Retry { .. }) && error.outcome_unknown);
    }
}
