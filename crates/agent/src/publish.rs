//! Writes the status into the Node object: one request at a time, the latest wins.

use std::time::Duration;

use oncilla_api::{Kind, ObjectKey};
use oncilla_store::rest::{Client, RestError};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::follow::chain;
use crate::status::{AGENT_ANNOTATION, AgentStatus};

/// The least time between two writes: at most 20 a second.
const WRITE_GAP: Duration = Duration::from_millis(50);
/// How long nothing is written after a failure.
const RETRY_GAP: Duration = Duration::from_millis(500);

/// Writes every status that comes, the last one too, until none can come any more.
pub(crate) async fn publish(
    client: Client,
    node: String,
    mut statuses: watch::Receiver<Option<AgentStatus>>,
) {
    let key = ObjectKey::cluster(Kind::Node, node);
    let mut failing = false;
    while statuses.changed().await.is_ok() {
        loop {
            let Some(status) = statuses.borrow_and_update().clone() else {
                break;
            };
            match write(&client, &key, &status).await {
                Ok(()) => {
                    failing = false;
                    break;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let error = chain(&error);
                        tracing::warn!(node = key.name, error, "cannot write the node's status");
                    }
                    sleep(RETRY_GAP).await;
                }
            }
        }
        sleep(WRITE_GAP).await;
    }
}

async fn write(client: &Client, key: &ObjectKey, status: &AgentStatus) -> Result<(), RestError> {
    let text = json!(status).to_string();
    let metadata = json!({ "annotations": { AGENT_ANNOTATION: text } });
    let patch = json!({ "metadata": metadata });
    match client.merge_patch(key, &patch).await {
        // A host without a cluster has nobody else who would make its node.
        Err(error) if error.is_not_found() => {
            let mut node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
            node["metadata"]["name"] = key.name.as_str().into();
            client.create(key, &node).await.map(drop)
        }
        other => other.map(drop),
    }
}
