//! Connections to the executors whose shuffle files tasks read, kept for the next reader.
//!
//! `ballista-executor` has such a pool too, but keeps it to itself; without one every read opens a
//! connection, which costs round trips and, on wide shuffles, all ephemeral ports.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;
use parking_lot::Mutex;

/// Idle connections kept to one executor; more are closed as they become idle.
const IDLE_PER_EXECUTOR: usize = 16;

type Idle = Mutex<HashMap<(String, u16, GrpcClientConfig), Vec<BallistaClient>>>;

/// The idle connections. A connection that has broken meanwhile is made anew on its next use.
#[derive(Clone, Default)]
pub(crate) struct ShuffleClients {
    idle: Arc<Idle>,
}

impl std::fmt::Debug for ShuffleClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShuffleClients").finish_non_exhaustive()
    }
}

#[async_trait]
impl BallistaClientPool for ShuffleClients {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let key = (host.to_string(), port, config.clone());
        let idle = self.idle.lock().get_mut(&key).and_then(Vec::pop);
        let client = match idle {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize_endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let pool = Arc::clone(&self.idle);
        let put_back = move |client| {
            let mut idle = pool.lock();
            let clients = idle.entry(key).or_default();
            if clients.len() < IDLE_PER_EXECUTOR {
                clients.push(client);
            }
        };
        Ok(PooledClient::new(client, Box::new(put_back)))
    }

    async fn evict_idle(&self) {
        self.idle.lock().clear();
    }
}
