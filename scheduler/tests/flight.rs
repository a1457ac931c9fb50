//! The Flight SQL front door, through `arrow-flight`'s client and, where that client does less than
//! the protocol, through bare gRPC. Statements run inside the scheduler.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod service;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    Command, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetPrimaryKeys, CommandGetTables,
    CommandGetXdbcTypeInfo, CommandStatementIngest, CommandStatementQuery, ProstMessageExt,
    TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor,
    FlightInfo, PollInfo,
};
use futures::{TryStreamExt, stream};
use prost::Message;
use service::{Service, TOKEN, code};
use tonic::Code;
use tonic::transport::Channel;

type Client = FlightSqlServiceClient<Channel>;

/// Takes far longer than any test waits.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 3 = 7";

async fn rows(client: &mut Client, info: FlightInfo) -> Vec<RecordBatch> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    client
        .do_get(ticket)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap()
}

async fn query(client: &mut Client, sql: &str) -> Vec<RecordBatch> {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    rows(client, info).await
}

async fn number(client: &mut Client, sql: &str) -> i64 {
    query(client, sql).await[0]
        .column(0)
        .as_primitive::<Int64Type>()
        .value(0)
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_can_log_in_gets_an_answer() {
    let service = Service::guarded().await;
    let mut client = service.client().await;
    let refused = client.execute("SELECT 1".into(), None).await.unwrap_err();
    assert_eq!(code(&refused), Code::Unauthenticated);
    assert!(client.handshake("alice", "wrong").await.is_err());
    assert!(client.handshake("nobody", "").await.is_err());

    client.handshake("alice", "open sesame").await.unwrap();
    assert_eq!(number(&mut client, "SELECT 1").await, 1);

    let mut robot = service.client().await;
    robot.set_token(TOKEN.into());
    assert_eq!(number(&mut robot, "SELECT 1").await, 1);
    robot.set_token("f".repeat(64));
    let refused = robot.execute("SELECT 1".into(), None).await.unwrap_err();
    assert_eq!(code(&refused), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_refused_to_another_user_and_good_for_one_fetch() {
    let service = Service::guarded().await;
    let (mut alice, mut bob) = (service.client().await, service.client().await);
    alice.handshake("alice", "open sesame").await.unwrap();
    bob.set_token(TOKEN.into());
    let info = alice.execute("SELECT 42".into(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert!(info.endpoint[0].location.is_empty());
    let sql_in_ticket = String::from_utf8_lossy(&ticket.ticket).contains("SELECT");
    assert!(!sql_in_ticket, "tickets say nothing");

    let refused = bob.do_get(ticket.clone()).await.err().unwrap();
    assert_eq!(code(&refused), Code::PermissionDenied);
    assert_eq!(count(&rows(&mut alice, info).await), 1);
    let refused = alice.do_get(ticket).await.err().unwrap();
    assert_eq!(code(&refused), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_session_is_refused_and_its_prepared_statements_are_gone() {
    let service = Service::guarded().await;
    let mut client = service.client().await;
    client.handshake("alice", "open sesame").await.unwrap();
    let mut prepared = client.prepare("SELECT 1".into(), None).await.unwrap();
    client
        .do_action(Action::new("CloseSession", vec![]))
        .await
        .unwrap();
    let refused = prepared.execute().await.unwrap_err();
    assert_eq!(code(&refused), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_follows_its_cookie_to_another_connection() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let describe = FlightDescriptor::new_cmd(
        CommandStatementQuery {
            query: "SELECT 1".into(),
            transaction_id: None,
        }
        .as_any()
        .encode_to_vec(),
    );
    let response = client
        .inner_mut()
        .get_schema(describe.clone())
        .await
        .unwrap();
    let cookie = response
        .metadata()
        .get("set-cookie")
        .unwrap()
        .to_str()
        .unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();

    query(&mut client, "CREATE SCHEMA of_the_session").await;
    query(&mut client, "USE SCHEMA of_the_session").await;
    query(&mut client, "CREATE TABLE here AS SELECT 7 AS seven").await;
    let mut stranger = service.client().await;
    let refused = stranger
        .execute("SELECT seven FROM here".into(), None)
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Code::NotFound);

    let mut again = service.client().await;
    again.set_header("cookie", cookie);
    assert_eq!(
        number(&mut again, "SELECT CAST(seven AS BIGINT) FROM here").await,
        7
    );

    let mut late = service.client().await;
    late.set_header("cookie", "shoal_session=0000");
    let refused = late.execute("SELECT 1".into(), None).await.unwrap_err();
    assert_eq!(code(&refused), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_announced_is_the_schema_sent_and_has_no_views() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let sql = "SELECT 'a' AS text, arrow_cast('b', 'Utf8View') AS view, \
               arrow_cast('c', 'Dictionary(Int32, Utf8)') AS dictionary";
    let info = client.execute(sql.into(), None).await.unwrap();
    let announced = info.clone().try_decode_schema().unwrap();
    let batches = rows(&mut client, info).await;
    assert_eq!(*batches[0].schema(), announced);
    let types: Vec<_> = announced
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(types, [DataType::Utf8, DataType::Utf8, DataType::Utf8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_return_their_row_counts_however_they_are_sent() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let update = |sql: &str| sql.to_owned();
    client
        .execute_update(update("CREATE TABLE t (id BIGINT, name STRING)"), None)
        .await
        .unwrap();
    let sql = "INSERT INTO t SELECT value, 'n' FROM generate_series(1, 7)";
    assert_eq!(client.execute_update(update(sql), None).await.unwrap(), 7);

    // Through GetFlightInfo, as ODBC and Python's `execute` do: done when it answers.
    let info = client
        .execute("INSERT INTO t VALUES (8, 'x')".into(), None)
        .await
        .unwrap();
    assert_eq!(info.total_records, 1);
    assert_eq!(number(&mut client, "SELECT count(*) FROM t").await, 8);
    assert_eq!(count(&rows(&mut client, info).await), 0);

    let mut prepared = client
        .prepare("INSERT INTO t VALUES ($1, $2)".into(), None)
        .await
        .unwrap();
    assert!(prepared.dataset_schema().unwrap().fields().is_empty());
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 2);
    prepared.set_parameters(people()).unwrap();
    assert_eq!(prepared.execute_update().await.unwrap(), 3);
    prepared.close().await.unwrap();
    assert_eq!(
        number(&mut client, "SELECT sum(id) FROM t WHERE name = 'ann'").await,
        100
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_with_many_rows_of_parameters_is_one_commit() {
    let service = Service::open().await;
    let mut client = service.client().await;
    query(&mut client, "CREATE TABLE t (id INT, name STRING)").await;
    let sql = "INSERT INTO t (name, id) VALUES (upper(?), ? + 1)";
    let mut prepared = client.prepare(sql.into(), None).await.unwrap();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..5000).map(|n| format!("n{n}")),
    ));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
    let rows = RecordBatch::try_from_iter([("name", names), ("id", ids)]).unwrap();
    prepared.set_parameters(rows).unwrap();
    assert_eq!(prepared.execute_update().await.unwrap(), 5000);
    let sql = "SELECT count(*) FROM t WHERE name = 'N' || (id - 1)";
    assert_eq!(number(&mut client, sql).await, 5000);
    let commits = std::fs::read_dir(service.folder().join("default/t/_delta_log")).unwrap();
    let commits =
        commits.filter(|file| file.as_ref().unwrap().path().extension() == Some("json".as_ref()));
    assert_eq!(commits.count(), 2, "one for the table, one for all rows");
}

fn people() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![100, 101, 102]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), None, Some("cy")]));
    RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prepared_query_runs_again_with_other_values() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let sql = "SELECT value FROM generate_series(1, 10) WHERE value > $1";
    let mut prepared = client.prepare(sql.into(), None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().fields().len(), 1);
    for (bound, expected) in [(3, 7), (9, 1)] {
        let value: ArrayRef = Arc::new(Int64Array::from(vec![bound]));
        prepared
            .set_parameters(RecordBatch::try_from_iter([("$1", value)]).unwrap())
            .unwrap();
        let info = prepared.execute().await.unwrap();
        assert_eq!(count(&rows(&mut client, info).await), expected);
    }
    let unbound = client.execute(sql.into(), None).await.unwrap_err();
    assert_eq!(code(&unbound), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_ingest_creates_appends_and_replaces() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let mut ingest = async |missing, existing| {
        let command = CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: missing as i32,
                if_exists: existing as i32,
            }),
            table: "people".into(),
            ..CommandStatementIngest::default()
        };
        client
            .execute_ingest(command, stream::iter([Ok(people()), Ok(people())]))
            .await
    };
    use TableExistsOption as Exists;
    use TableNotExistOption as Missing;
    assert!(ingest(Missing::Fail, Exists::Append).await.is_err());
    assert_eq!(ingest(Missing::Create, Exists::Fail).await.unwrap(), 6);
    assert!(ingest(Missing::Create, Exists::Fail).await.is_err());
    assert_eq!(ingest(Missing::Fail, Exists::Append).await.unwrap(), 6);
    assert_eq!(ingest(Missing::Create, Exists::Append).await.unwrap(), 6);
    let mut reader = service.client().await;
    assert_eq!(number(&mut reader, "SELECT count(*) FROM people").await, 18);
    assert_eq!(ingest(Missing::Create, Exists::Replace).await.unwrap(), 6);
    assert_eq!(number(&mut reader, "SELECT count(*) FROM people").await, 6);
    let unknown = ingest(Missing::Unspecified, Exists::Unspecified)
        .await
        .unwrap_err();
    assert_eq!(code(&unknown), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_filtered_and_comes_with_columns_when_asked() {
    let service = Service::open().await;
    let mut client = service.client().await;
    query(
        &mut client,
        "CREATE TABLE raw.people (id BIGINT NOT NULL, name STRING)",
    )
    .await;
    query(
        &mut client,
        "CREATE VIEW curated.names AS SELECT name FROM raw.people",
    )
    .await;

    let info = client.get_catalogs().await.unwrap();
    let catalogs = rows(&mut client, info).await;
    assert!(texts(&catalogs, 0).contains(&"lake".to_owned()));

    let request = CommandGetDbSchemas {
        catalog: Some("lake".into()),
        db_schema_filter_pattern: Some("%ra%".into()),
    };
    let info = client.get_db_schemas(request).await.unwrap();
    assert_eq!(texts(&rows(&mut client, info).await, 1), ["curated", "raw"]);

    let mut tables = async |pattern: &str, kinds: &[&str], include_schema| {
        let request = CommandGetTables {
            catalog: Some("lake".into()),
            table_name_filter_pattern: Some(pattern.to_owned()),
            table_types: kinds.iter().map(|kind| kind.to_string()).collect(),
            include_schema,
            ..CommandGetTables::default()
        };
        let info = client.get_tables(request).await.unwrap();
        rows(&mut client, info).await
    };
    let found = tables("peo__e", &[], true).await;
    let names: Vec<String> = found[0]
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(
        names,
        [
            "catalog_name",
            "db_schema_name",
            "table_name",
            "table_type",
            "table_schema"
        ]
    );
    let schema = arrow_flight::IpcMessage(
        found[0]
            .column(4)
            .as_binary::<i32>()
            .value(0)
            .to_vec()
            .into(),
    );
    let schema = arrow::datatypes::Schema::try_from(schema).unwrap();
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    assert!(!schema.field(0).is_nullable());
    assert_eq!(texts(&tables("names", &["VIEW"], false).await, 3), ["VIEW"]);
    assert_eq!(count(&tables("names", &["TABLE"], false).await), 0);
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(column)
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_empty_and_types_and_sql_info_are_there() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let primary = CommandGetPrimaryKeys {
        table: "t".into(),
        ..Default::default()
    };
    let info = client.get_primary_keys(primary).await.unwrap();
    assert_eq!(info.clone().try_decode_schema().unwrap().fields().len(), 6);
    assert_eq!(count(&rows(&mut client, info).await), 0);
    let exported = CommandGetExportedKeys {
        table: "t".into(),
        ..Default::default()
    };
    let info = client.get_exported_keys(exported).await.unwrap();
    assert_eq!(info.clone().try_decode_schema().unwrap().fields().len(), 13);
    assert_eq!(count(&rows(&mut client, info).await), 0);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&rows(&mut client, info).await, 0), ["TABLE", "VIEW"]);
    let info = client
        .get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None })
        .await
        .unwrap();
    assert!(count(&rows(&mut client, info).await) > 5);
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(count(&rows(&mut client, info).await) > 80);
}

fn poll_request(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery {
        query: sql.into(),
        transaction_id: None,
    };
    FlightDescriptor::new_cmd(
        Command::CommandStatementQuery(command)
            .into_any()
            .encode_to_vec(),
    )
}

async fn poll(
    client: &mut Client,
    descriptor: FlightDescriptor,
) -> Result<PollInfo, tonic::Status> {
    let polled = client.inner_mut().poll_flight_info(descriptor).await?;
    Ok(polled.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_runs_a_query_until_its_rows_can_be_fetched() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let sql = "SELECT value FROM generate_series(1, 100000)";
    let mut polled = poll(&mut client, poll_request(sql)).await.unwrap();
    while let Some(next) = polled.flight_descriptor {
        polled = poll(&mut client, next).await.unwrap();
    }
    let info = polled.info.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&info.app_metadata).unwrap();
    assert_eq!(report["update"], false);
    assert_eq!(count(&rows(&mut client, info).await), 100_000);

    query(&mut client, "CREATE TABLE t (id BIGINT)").await;
    let mut polled = poll(&mut client, poll_request("INSERT INTO t VALUES (1), (2)"))
        .await
        .unwrap();
    while let Some(next) = polled.flight_descriptor {
        polled = poll(&mut client, next).await.unwrap();
    }
    assert_eq!(polled.info.unwrap().total_records, 2);

    let failed = poll(&mut client, poll_request("SELECT CAST('x' AS INT)")).await;
    assert!(failed.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polled_query_is_cancelled_by_its_info() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let polled = poll(&mut client, poll_request(ENDLESS)).await.unwrap();
    let next = polled.flight_descriptor.clone().expect("still running");
    let cancel = async |client: &mut Client, info: FlightInfo| {
        let request = CancelFlightInfoRequest { info: Some(info) };
        let action = Action::new("CancelFlightInfo", request.encode_to_vec());
        let mut results = client.do_action(action).await.unwrap();
        let result = results.message().await.unwrap().unwrap();
        CancelFlightInfoResult::decode(result.body)
            .unwrap()
            .status()
    };
    let info = polled.info.unwrap();
    assert_eq!(
        cancel(&mut client, info.clone()).await,
        CancelStatus::Cancelled
    );
    assert_eq!(
        cancel(&mut client, info).await,
        CancelStatus::NotCancellable
    );
    assert_eq!(
        poll(&mut client, next).await.unwrap_err().code(),
        Code::NotFound
    );
    service.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_stops_what_runs_for_it() {
    let service = Service::open().await;
    let mut fetching = service.client().await;
    let info = fetching.execute(ENDLESS.into(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let fetch = tokio::spawn(async move {
        let rows = fetching.do_get(ticket).await?;
        rows.try_collect::<Vec<_>>().await
    });
    let mut polling = service.client().await;
    poll(&mut polling, poll_request(ENDLESS)).await.unwrap();
    let endless_rows = poll_request("SELECT value FROM generate_series(1, 1000000000000)");
    let ready = poll(&mut polling, endless_rows).await.unwrap();
    assert!(ready.flight_descriptor.is_none());
    service.is_busy(3).await;
    fetch.abort();
    drop(polling);
    service.is_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_refused_and_said_to_be() {
    let service = Service::open().await;
    let mut client = service.client().await;
    let refused = client.begin_transaction().await.unwrap_err();
    assert_eq!(code(&refused), Code::Unimplemented);
    let refused = client
        .execute("SELECT 1".into(), Some("t1".into()))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_never_breaks_the_connection() {
    let service = Service::open().await;
    let mut client = service.client().await;
    for nonsense in [vec![], vec![0xff; 100], b"\x0a\x03abc".to_vec()] {
        let descriptor = FlightDescriptor::new_cmd(nonsense.clone());
        assert!(
            client
                .inner_mut()
                .get_flight_info(descriptor.clone())
                .await
                .is_err()
        );
        assert!(
            client
                .inner_mut()
                .get_schema(descriptor.clone())
                .await
                .is_err()
        );
        assert!(
            client
                .inner_mut()
                .poll_flight_info(descriptor)
                .await
                .is_err()
        );
        assert!(
            client
                .do_get(arrow_flight::Ticket::new(nonsense.clone()))
                .await
                .is_err()
        );
        for action in [
            "CreatePreparedStatement",
            "CancelFlightInfo",
            "SetSessionOptions",
            "Nothing",
        ] {
            let _ = client
                .do_action(Action::new(action, nonsense.clone()))
                .await;
        }
        assert!(client.do_put(stream::iter([])).await.is_err());
    }
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
}
