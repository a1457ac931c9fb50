//! What the catalog promises, pinned once and run against both databases: on SQLite each
//! behaviour is a test of its own, on PostgreSQL all run in one server started here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod behaviour;
mod postgres;

use shoal_catalog::{Catalog, CatalogError};

/// Declares the behaviours: `async fn name(url: String)` in `behaviour`, each given an empty
/// database of its own.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let file = folder.path().join("not yet there/catalog.db");
                    let url = url::Url::from_file_path(file).unwrap();
                    crate::behaviour::$name(format!("sqlite://{}", url.path())).await;
                }
            )*
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn all_behaviours_hold_on_postgresql() {
            let server = postgres::Server::start();
            $(
                println!("on PostgreSQL: {}", stringify!($name));
                behaviour::$name(server.create_database(stringify!($name)).await).await;
            )*
        }
    };
}

behaviours!(
    a_new_catalog_holds_the_zones,
    entries_come_back_as_they_were_stored,
    names_are_case_insensitive,
    creating_a_taken_name_follows_the_mode,
    a_view_never_replaces_a_table,
    objects_need_their_parent,
    a_full_schema_is_dropped_only_by_cascade,
    a_full_catalog_is_dropped_only_by_cascade,
    the_listing_holds_empty_schemas_too,
    comments_and_properties_change_alone,
    concurrent_property_changes_all_take_effect,
    of_concurrent_creations_one_wins,
    processes_may_open_a_new_catalog_at_once,
    two_handles_see_each_others_changes,
    every_replacement_of_a_model_is_a_version,
    of_concurrent_replacements_of_a_model_each_gets_a_version,
    models_go_with_their_schema,
);

#[tokio::test]
async fn an_unknown_scheme_is_refused_without_showing_the_password() {
    let error = Catalog::open("mysql://me:hunter2@localhost/names")
        .await
        .unwrap_err();
    assert!(matches!(error, CatalogError::InvalidUrl { .. }));
    let message = error.to_string();
    assert!(
        message.contains("mysql://me:***@localhost/names"),
        "{message}"
    );
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_relative_sqlite_path_is_refused() {
    for url in [
        "sqlite:catalog.db",
        "sqlite://catalog.db",
        "sqlite::memory:",
    ] {
        let error = Catalog::open(url).await.unwrap_err();
        assert!(matches!(error, CatalogError::InvalidUrl { .. }), "{url}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_without_the_password() {
    let error = Catalog::open("postgres://me:hunter2@127.0.0.1:1/names")
        .await
        .unwrap_err();
    assert!(matches!(error, CatalogError::Connect { .. }));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
