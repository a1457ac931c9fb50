//! The client against a Flight server that does as each test tells it.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, Criteria, Empty, FlightData, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo, PutResult,
    SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use prost::Message;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::Outcome;
use crate::{Client, ClientError, Credentials};

/// What the server answers, and what it was asked.
#[derive(Default)]
struct Script {
    /// Answers to polls for the statement, in order; then none is left and polls are `NotFound`.
    polls: Vec<Result<PollInfo, Status>>,
    /// The answer to `GetFlightInfo`.
    info: Option<FlightInfo>,
    /// Tickets that were fetched and statements that were cancelled.
    seen: Vec<String>,
    cookies: Vec<String>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

fn numbers(from: i64) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 2));
    RecordBatch::try_from_iter([("n", column)]).unwrap()
}

fn info(metadata: &str, tickets: &[&str]) -> FlightInfo {
    let endpoints = tickets
        .iter()
        .map(|ticket| FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_bytes().to_vec())));
    endpoints
        .fold(FlightInfo::new(), FlightInfo::with_endpoint)
        .with_app_metadata(metadata.to_owned())
        .with_descriptor(FlightDescriptor::new_cmd("this query"))
        .try_with_schema(&numbers(0).schema())
        .unwrap()
}

fn waiting(metadata: &str) -> Result<PollInfo, Status> {
    Ok(PollInfo::new()
        .with_info(info(metadata, &[]))
        .with_descriptor(FlightDescriptor::new_cmd("again")))
}

fn ready(metadata: &str, tickets: &[&str]) -> Result<PollInfo, Status> {
    Ok(PollInfo::new().with_info(info(metadata, tickets)))
}

#[tonic::async_trait]
impl FlightService for Scripted {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let mut script = self.0.lock();
        let cookie = request.metadata().get("cookie");
        let cookie = cookie.map_or("", |value| value.to_str().unwrap());
        script.cookies.push(cookie.to_owned());
        if script.polls.is_empty() {
            return Err(Status::not_found("done with it"));
        }
        let mut answer = Response::new(script.polls.remove(0)?);
        let header = "session=7; Path=/".parse().unwrap();
        answer.metadata_mut().insert("set-cookie", header);
        Ok(answer)
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let info = self.0.lock().info.clone();
        info.map(Response::new)
            .ok_or_else(|| Status::unimplemented("GetFlightInfo"))
    }

    /// A ticket `5` yields the batch of 5 and 6; `endless` never ends; `broken` fails after a batch.
    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let ticket = String::from_utf8(request.into_inner().ticket.to_vec()).unwrap();
        self.0.lock().seen.push(format!("fetched {ticket}"));
        let batches = match ticket.parse() {
            Ok(from) => futures::stream::iter([Ok(numbers(from))]).boxed(),
            Err(_) if ticket == "endless" => futures::stream::iter([Ok(numbers(0))])
                .chain(futures::stream::pending())
                .boxed(),
            Err(_) => {
                let failed = FlightError::from(Status::data_loss("file f.parquet is gone"));
                futures::stream::iter([Ok(numbers(0)), Err(failed)]).boxed()
            }
        };
        let data = FlightDataEncoderBuilder::new().build(batches);
        Ok(Response::new(data.map_err(Status::from).boxed()))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let action = request.into_inner();
        let query = CancelFlightInfoRequest::decode(action.body).unwrap().info;
        let query = query.unwrap().flight_descriptor.unwrap().cmd;
        let line = format!("{} {}", action.r#type, String::from_utf8_lossy(&query));
        self.0.lock().seen.push(line);
        Ok(Response::new(futures::stream::empty().boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unauthenticated("wrong user or password"))
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("ListFlights"))
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented("GetSchema"))
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        Err(Status::unimplemented("DoPut"))
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Err(Status::unimplemented("ListActions"))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("DoExchange"))
    }
}

/// A server that follows `script`, and its address.
fn serve(script: Script) -> (Scripted, String) {
    let scripted = Scripted(Arc::new(Mutex::new(script)));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let service = FlightServiceServer::new(scripted.clone());
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    (scripted, url)
}

async fn scripted(polls: Vec<Result<PollInfo, Status>>) -> (Scripted, Client) {
    let (server, url) = serve(Script {
        polls,
        ..Script::default()
    });
    let client = Client::connect(&url, Credentials::Anonymous).await.unwrap();
    (server, client)
}

async fn all_numbers(client: &Client) -> Result<Vec<i64>, ClientError> {
    let batches: Vec<RecordBatch> = client.query("SELECT n").await?.try_collect().await?;
    let columns = batches.iter().map(|batch| batch.column(0));
    let values = columns.flat_map(|column| {
        let column = column.as_any().downcast_ref::<Int64Array>().unwrap();
        column.values().to_vec()
    });
    Ok(values.collect())
}

/// Waits until the server has seen `line`; cancelling after a drop happens in the background.
async fn seen(server: &Scripted, line: &str) {
    let there = async {
        while !server.0.lock().seen.iter().any(|seen| seen == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(5), there).await;
    assert!(
        waited.is_ok(),
        "{line} not among {:?}",
        server.0.lock().seen
    );
}

#[tokio::test]
async fn rows_of_all_endpoints_come_in_order_once_the_statement_is_ready() {
    let polls = vec![waiting("{}"), waiting("{}"), ready("{}", &["3", "10"])];
    let (server, client) = scripted(polls).await;
    assert_eq!(all_numbers(&client).await.unwrap(), [3, 4, 10, 11]);
    // The server set the cookie in its first answer.
    assert_eq!(server.0.lock().cookies[..3], ["", "session=7", "session=7"]);
}

#[tokio::test]
async fn progress_is_seen_while_the_statement_runs() {
    let stages = r#"{"state":"running","stages":[{"id":1,"tasks":4,"done":2}]}"#;
    let (_server, client) = scripted(vec![waiting("{}"), waiting(stages), ready("{}", &[])]).await;
    let statement = client.start("SELECT n").await.unwrap();
    let mut progress = statement.progress();
    let running = progress.wait_for(|progress| progress.state == "running");
    assert_eq!(running.await.unwrap().tasks(), (2, 4));
}

#[tokio::test]
async fn an_update_says_how_many_rows_it_changed() {
    for (metadata, expected) in [
        (r#"{"update":true,"affected":12}"#, Some(12)),
        (r#"{"update":true,"affected":-1}"#, None),
    ] {
        let (_server, client) = scripted(vec![waiting("{}"), ready(metadata, &["1"])]).await;
        assert_eq!(client.execute("INSERT").await.unwrap(), expected);
    }
    let update = ready(r#"{"update":true}"#, &[]);
    let (_server, client) = scripted(vec![update]).await;
    assert!(matches!(
        client.query("INSERT").await,
        Err(ClientError::NoRows)
    ));
}

#[tokio::test]
async fn a_failure_is_told_wherever_it_happens() {
    let failure = || Status::invalid_argument("no table x");
    for polls in [vec![Err(failure())], vec![waiting("{}"), Err(failure())]] {
        let (_server, client) = scripted(polls).await;
        let error = all_numbers(&client).await.unwrap_err();
        assert_eq!(error.to_string(), "no table x");
    }
    let (_server, client) = scripted(vec![ready("{}", &["broken"])]).await;
    let error = all_numbers(&client).await.unwrap_err();
    assert_eq!(error.to_string(), "file f.parquet is gone");
}

#[tokio::test]
async fn a_server_without_polling_is_asked_for_the_flight_info() {
    let (_server, url) = serve(Script {
        polls: vec![Err(Status::unimplemented("PollFlightInfo"))],
        info: Some(info("", &["5"])),
        ..Script::default()
    });
    let client = Client::connect(&url, Credentials::Anonymous).await.unwrap();
    assert_eq!(all_numbers(&client).await.unwrap(), [5, 6]);
}

#[tokio::test]
async fn dropping_a_statement_or_its_rows_cancels_it() {
    let (server, client) = scripted(vec![waiting("{}"); 1000]).await;
    drop(client.start("SELECT n").await.unwrap());
    seen(&server, "CancelFlightInfo this query").await;

    let (server, client) = scripted(vec![ready("{}", &["endless"])]).await;
    let Outcome::Rows(mut rows) = client
        .start("SELECT n")
        .await
        .unwrap()
        .outcome()
        .await
        .unwrap()
    else {
        panic!("a query has rows");
    };
    assert_eq!(rows.try_next().await.unwrap(), Some(numbers(0)));
    drop(rows);
    seen(&server, "CancelFlightInfo this query").await;
}

#[tokio::test]
async fn a_statement_that_ended_is_not_cancelled() {
    let (server, client) = scripted(vec![ready("{}", &["1"])]).await;
    all_numbers(&client).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.0.lock().seen, ["fetched 1"]);
}

#[tokio::test]
async fn wrong_credentials_and_missing_servers_are_told_apart() {
    let (_server, url) = serve(Script::default());
    let credentials = Credentials::Password {
        user: "anna".into(),
        password: shoal_config::Secret::new("hunter2"),
    };
    let refused = Client::connect(&url, credentials).await.err().unwrap();
    assert!(matches!(refused, ClientError::Unauthenticated(_)));

    let missing = Client::connect("http://127.0.0.1:1", Credentials::Anonymous).await;
    let missing = missing.err().unwrap();
    assert!(matches!(missing, ClientError::Connect { .. }));
    assert!(missing.to_string().contains("http://127.0.0.1:1"));
}
