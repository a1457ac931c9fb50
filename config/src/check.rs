//! Refuses values that have the right type and still cannot work.

use std::net::IpAddr;

use crate::layers::Origins;
use url::Url;

use crate::{ByteSize, ConfigError, Settings, shown_url};

/// Checks every value that has a range, and those that must fit each other.
pub(crate) fn check(settings: &Settings, origins: &Origins) -> Result<(), ConfigError> {
    let Settings {
        processing,
        cluster,
        flight,
        query,
        write,
        images,
        models,
        ..
    } = settings;
    let at_least_one: [(&str, u64); 19] = [
        ("processing.batch_size", processing.batch_size as u64),
        ("cluster.heartbeat_seconds", cluster.heartbeat_seconds),
        (
            "cluster.executor_timeout_seconds",
            cluster.executor_timeout_seconds,
        ),
        ("cluster.job_timeout_seconds", cluster.job_timeout_seconds),
        ("cluster.executor.memory", cluster.executor.memory.0),
        ("flight.ticket_seconds", flight.ticket_seconds),
        ("flight.session_seconds", flight.session_seconds),
        ("query.local_memory", query.local_memory().0),
        ("query.local_concurrency", query.local_concurrency as u64),
        ("write.target_file_size", write.target_file_size.0),
        ("write.row_group_bytes", write.row_group_bytes.0),
        ("processing.batch_bytes", processing.batch_bytes.0),
        ("images.max_file_bytes", images.max_file_bytes.0),
        ("images.max_pixels", images.max_pixels),
        ("images.max_alloc", images.max_alloc.0),
        ("images.max_seconds", images.max_seconds),
        ("models.max_file_bytes", models.max_file_bytes.0),
        ("models.batch_size", models.batch_size as u64),
        ("images.url_timeout_seconds", images.url_timeout_seconds),
    ];
    for (key, value) in at_least_one {
        if value == 0 {
            return Err(origins.refuse(key, "must be at least 1"));
        }
    }
    if cluster.executor_timeout_seconds <= cluster.heartbeat_seconds {
        return Err(origins.refuse(
            "cluster.executor_timeout_seconds",
            format!(
                "must be longer than cluster.heartbeat_seconds ({})",
                cluster.heartbeat_seconds
            ),
        ));
    }
    for (key, bytes) in [
        ("processing.batch_bytes", processing.batch_bytes),
        ("images.max_file_bytes", images.max_file_bytes),
    ] {
        if bytes > ByteSize::gib(1) {
            return Err(origins.refuse(
                key,
                "must not exceed 1GiB: an Arrow batch of binary values ends at 2GiB",
            ));
        }
    }
    if models.cache < models.max_file_bytes {
        return Err(origins.refuse(
            "models.cache",
            format!(
                "must not be less than models.max_file_bytes ({}): a model that does not fit would be loaded for every batch",
                models.max_file_bytes
            ),
        ));
    }
    for entry in &images.url_allow {
        let url = Url::parse(entry).ok();
        if !url.is_some_and(|url| ["http", "https", "file"].contains(&url.scheme())) {
            return Err(origins.refuse(
                "images.url_allow",
                format!(
                    "\"{}\" is not a URL such as https://images.example.com/",
                    shown_url(entry)
                ),
            ));
        }
    }
    if flight.anonymous && !is_loopback(&flight.bind_host) {
        return Err(origins.refuse(
            "flight.anonymous",
            format!(
                "clients without a user are let in on a loopback address only, and flight.bind_host is \"{}\"; set flight.users_file and anonymous: false",
                flight.bind_host
            ),
        ));
    }
    if !is_compression(&write.compression) {
        return Err(origins.refuse(
            "write.compression",
            format!(
                "\"{}\" is not one of none, snappy, lz4_raw, zstd(1) … zstd(22)",
                write.compression
            ),
        ));
    }
    let mut names: Vec<&str> = vec!["lake", "information_schema"];
    for (index, attached) in settings.catalog.attach.iter().enumerate() {
        if attached.name.is_empty() || names.contains(&attached.name.as_str()) {
            return Err(origins.refuse(
                &format!("catalog.attach[{index}].name"),
                format!(
                    "\"{}\" is empty or already the name of a catalog",
                    attached.name
                ),
            ));
        }
        names.push(&attached.name);
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_compression(text: &str) -> bool {
    let zstd_level = text
        .strip_prefix("zstd(")
        .and_then(|rest| rest.strip_suffix(')'));
    match zstd_level {
        Some(level) => level
            .parse()
            .is_ok_and(|level: u8| (1..=22).contains(&level)),
        None => ["none", "snappy", "lz4_raw"].contains(&text),
    }
}
