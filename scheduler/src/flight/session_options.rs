//! Session options: the actions SetSessionOptions, GetSessionOptions and CloseSession, whose
//! messages `arrow-flight` lacks (source: `format/Flight.proto` of Apache Arrow).
//!
//! Options: `catalog` and `schema` are where unqualified table names are looked up;
//! `arrow_views` (boolean) keeps Arrow's view types in results; any other is a setting, as in
//! `SET name = value`.

use std::collections::HashMap;

use arrow_flight::Result as ActionResult;
use prost::Message;
use shoal_engine::EngineError;
use tonic::Status;

use super::FrontDoor;
use super::sessions::{Caller, ClientSession};
use super::status::malformed;

pub(super) const SET: &str = "SetSessionOptions";
pub(super) const GET: &str = "GetSessionOptions";
pub(super) const CLOSE: &str = "CloseSession";

const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";
const ARROW_VIEWS: &str = "arrow_views";

#[derive(Clone, PartialEq, Message)]
struct StringList {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OptionValue {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    StringList(StringList),
}

/// A value; none at all unsets the option.
#[derive(Clone, PartialEq, Message)]
struct SessionOptionValue {
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    option_value: Option<OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum ErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
struct OptionError {
    #[prost(enumeration = "ErrorValue", tag = "1")]
    value: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, SessionOptionValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum CloseStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

#[derive(Clone, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(enumeration = "CloseStatus", tag = "1")]
    status: i32,
}

impl FrontDoor {
    /// Sets each option on its own; those that cannot be set are named in the answer.
    pub(super) async fn set_session_options(
        &self,
        caller: &Caller,
        body: &[u8],
    ) -> Result<ActionResult, Status> {
        let request = SetSessionOptionsRequest::decode(body)
            .map_err(|error| malformed("session options", error))?;
        let mut options: Vec<_> = request.session_options.into_iter().collect();
        // `catalog` before `schema`: a schema is looked up in the catalog set with it.
        options.sort_by(|one, other| one.0.cmp(&other.0));
        let mut errors = HashMap::new();
        for (name, value) in options {
            if let Err(error) = set_option(&caller.client, &name, value.option_value).await {
                let value = error.into();
                errors.insert(name, OptionError { value });
            }
        }
        Ok(answer(&SetSessionOptionsResult { errors }))
    }

    /// All options and their values.
    pub(super) fn session_options(&self, caller: &Caller) -> ActionResult {
        let session = &caller.client.session;
        let settings = session
            .settings()
            .into_iter()
            .map(|(name, value)| (name, OptionValue::String(value)));
        let own = [
            (CATALOG, OptionValue::String(session.catalog())),
            (SCHEMA, OptionValue::String(session.schema())),
            (ARROW_VIEWS, OptionValue::Bool(caller.client.keeps_views())),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let session_options = settings
            .chain(own)
            .map(|(name, value)| {
                let option_value = Some(value);
                (name, SessionOptionValue { option_value })
            })
            .collect();
        answer(&GetSessionOptionsResult { session_options })
    }

    /// Ends the session.
    pub(super) fn close_session(&self, caller: &Caller) -> ActionResult {
        self.sessions.close(&caller.client);
        self.prepared.close_session(&caller.client);
        answer(&CloseSessionResult {
            status: CloseStatus::Closed.into(),
        })
    }
}

async fn set_option(
    client: &ClientSession,
    name: &str,
    value: Option<OptionValue>,
) -> Result<(), ErrorValue> {
    let session = &client.session;
    match (name, value) {
        (CATALOG, Some(OptionValue::String(catalog))) => session
            .set_catalog(&catalog)
            .await
            .map_err(|_| ErrorValue::InvalidValue),
        (SCHEMA, Some(OptionValue::String(schema))) => session
            .set_schema(&schema)
            .await
            .map_err(|_| ErrorValue::InvalidValue),
        (ARROW_VIEWS, Some(OptionValue::Bool(keep))) => {
            client.set_keeps_views(keep);
            Ok(())
        }
        (ARROW_VIEWS, None) => {
            client.set_keeps_views(false);
            Ok(())
        }
        (CATALOG | SCHEMA | ARROW_VIEWS, _) => Err(ErrorValue::InvalidValue),
        (name, value) => {
            let changed = match value {
                Some(value) => session.set(name, &value.text()),
                None => session.reset(Some(name)),
            };
            changed.map_err(|error| match error {
                EngineError::NotFound { .. } => ErrorValue::InvalidName,
                _ => ErrorValue::InvalidValue,
            })
        }
    }
}

impl OptionValue {
    /// The value as it stands in `SET name = value`.
    fn text(&self) -> String {
        match self {
            Self::String(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Int64(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            Self::StringList(list) => list.values.join(","),
        }
    }
}

fn answer(message: &impl Message) -> ActionResult {
    ActionResult {
        body: message.encode_to_vec().into(),
    }
}
