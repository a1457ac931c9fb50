//! Procedures, which `CALL` runs: what they are called with.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{EngineError, Result};
use crate::model_calls;
use crate::parser::{Call, Name, parse_name, sql_type};
use crate::scope::nearest;
use crate::session::Session;

/// What vectors of `image_features` are marked with. It changes when their numbers do.
const IMAGE_FEATURES_VERSION: &str = "image_features 1";

/// The most labelled neighbors that vote, and clusters.
const MOST: usize = 1024;

/// A procedure and its arguments, each of which fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Procedure {
    /// `extract_features`.
    ExtractFeatures(ExtractFeatures),
    /// `classify_features`.
    ClassifyFeatures(ClassifyFeatures),
}

/// From a table of images into a table of their feature vectors, those of images that have none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractFeatures {
    /// The images: columns `id`, `content` and `date_partition`.
    pub source: Name,
    /// Where the vectors go. It is made if it is missing, and so is its neighbor `…_rejected`.
    pub target: Name,
    /// The model that makes them, with or without its version. None for `image_features`.
    pub model: Option<String>,
}

/// From a table of feature vectors into a table of classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifyFeatures {
    /// The vectors: columns `image_id`, `feature_vector`, `model_version` and `date_partition`.
    pub source: Name,
    /// Where the classes go. It is made if it is missing.
    pub target: Name,
    /// Vectors of which version count. None where the table holds those of one only.
    pub model_version: Option<String>,
    /// How classes are found.
    pub method: Classifier,
}

/// How classes are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classifier {
    /// By the nearest images that have a label.
    Nearest {
        /// The labels: columns `image_id` and `label`.
        labels: Name,
        /// How many neighbors vote.
        k: usize,
    },
    /// By k-means.
    Kmeans {
        /// How many classes there are.
        clusters: usize,
    },
}

/// The columns that procedures answer with, in one row:
///
/// - `images`: rows of the source
/// - `written`: rows added to the target
/// - `rejected`: images that could not be used
/// - `unchanged`: images that an earlier run had done with
/// - `seconds`: how long it took
pub fn call_schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        number("images"),
        number("written"),
        number("rejected"),
        number("unchanged"),
        Field::new("seconds", DataType::Float64, false),
    ]))
}

/// Plans `call`; whether its source and its model exist is found out now.
///
/// # Errors
/// As [`Procedure::of`], and when one of them does not exist.
pub(crate) async fn plan(session: &Arc<Session>, call: &Call) -> Result<Procedure> {
    let current = session.current();
    let mut procedure = Procedure::of(call)?;
    // Later statements of the session may change what completes a name.
    for name in procedure.names() {
        let full = current.table(name);
        *name = Name(vec![full.catalog, full.schema, full.table]);
    }
    check_source(session, &procedure).await?;
    match &procedure {
        Procedure::ExtractFeatures(ExtractFeatures {
            model: Some(model), ..
        }) => {
            model_calls::model(session.engine(), &current, model).await?;
        }
        Procedure::ClassifyFeatures(ClassifyFeatures {
            method: Classifier::Nearest { labels, .. },
            ..
        }) => {
            session.scope().relation(&current.table(labels)).await?;
        }
        _ => {}
    }
    Ok(procedure)
}

async fn check_source(session: &Session, procedure: &Procedure) -> Result<()> {
    let source = procedure.source();
    let snapshot = session.snapshot(source).await?;
    let columns = procedure.columns();
    for (position, column) in columns.iter().enumerate() {
        let Ok(field) = snapshot.schema().field_with_name(column) else {
            return Err(EngineError::invalid(format!(
                "{} needs a table with the columns {}, and {source} has no {column}",
                procedure.name(),
                columns.join(", ")
            )));
        };
        if position == 0 && *field.data_type() != DataType::Utf8 {
            return Err(EngineError::invalid(format!(
                "{} needs ids of type STRING, and {source}.{column} is {}",
                procedure.name(),
                sql_type(field.data_type())
            )));
        }
    }
    Ok(())
}

/// How feature vectors are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extractor {
    /// Expression of SQL over the column `content`.
    pub expression: String,
    /// What its vectors are marked with.
    pub version: String,
}

impl Session {
    /// How `extract` makes feature vectors: from now on, whatever newer versions its model gets.
    ///
    /// # Errors
    /// When there is no such model.
    pub async fn extractor(&self, extract: &ExtractFeatures) -> Result<Extractor> {
        let Some(text) = &extract.model else {
            return Ok(Extractor {
                expression: "image_features(content)".to_owned(),
                version: IMAGE_FEATURES_VERSION.to_owned(),
            });
        };
        let model = model_calls::model(self.engine(), &self.current(), text).await?;
        let name = text.split('@').next().unwrap_or_default();
        let pinned = format!("{name}@{}", model.version).replace('\'', "''");
        Ok(Extractor {
            expression: format!("image_embed(content, '{pinned}')"),
            version: model.version_text(),
        })
    }
}

impl Procedure {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ExtractFeatures(_) => "extract_features",
            Self::ClassifyFeatures(_) => "classify_features",
        }
    }

    fn source(&self) -> &Name {
        match self {
            Self::ExtractFeatures(extract) => &extract.source,
            Self::ClassifyFeatures(classify) => &classify.source,
        }
    }

    /// The columns that its source needs; the first is the one of ids.
    fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::ExtractFeatures(_) => &["id", "content", "date_partition"],
            Self::ClassifyFeatures(_) => &[
                "image_id",
                "feature_vector",
                "model_version",
                "date_partition",
            ],
        }
    }

    /// All names of tables.
    fn names(&mut self) -> Vec<&mut Name> {
        match self {
            Self::ExtractFeatures(extract) => vec![&mut extract.source, &mut extract.target],
            Self::ClassifyFeatures(classify) => {
                let mut names = vec![&mut classify.source, &mut classify.target];
                if let Classifier::Nearest { labels, .. } = &mut classify.method {
                    names.push(labels);
                }
                names
            }
        }
    }

    /// What `call` asks for.
    ///
    /// # Errors
    /// For a procedure that is not there, and for an argument that it does not take, needs, or cannot use.
    pub(crate) fn of(call: &Call) -> Result<Self> {
        let mut given = Arguments {
            procedure: &call.procedure,
            given: call.arguments.clone(),
            taken: Vec::new(),
        };
        let procedure = match call.procedure.as_str() {
            "extract_features" => Self::ExtractFeatures(ExtractFeatures {
                source: given.name("source", Some("raw.images"))?,
                target: given.name("target", Some("processed.features"))?,
                model: given.text("model"),
            }),
            "classify_features" => Self::ClassifyFeatures(ClassifyFeatures {
                source: given.name("source", Some("processed.features"))?,
                target: given.name("target", Some("curated.analytics"))?,
                model_version: given.text("model_version"),
                method: classifier(&mut given)?,
            }),
            other => {
                return Err(EngineError::NotFound {
                    kind: "procedure",
                    name: other.to_owned(),
                    hint: "; there are extract_features and classify_features".to_owned(),
                });
            }
        };
        given.finish()?;
        Ok(procedure)
    }
}

fn classifier(given: &mut Arguments<'_>) -> Result<Classifier> {
    let method = given.text("method").unwrap_or_else(|| "nearest".to_owned());
    match method.to_lowercase().as_str() {
        "nearest" => Ok(Classifier::Nearest {
            labels: given.name("labels", None)?,
            k: given.number("k", Some(5))?,
        }),
        "kmeans" => Ok(Classifier::Kmeans {
            clusters: given.number("clusters", None)?,
        }),
        _ => Err(given.wrong("method", &method, "'nearest' or 'kmeans'")),
    }
}

/// Arguments that are looked at one after the other.
struct Arguments<'a> {
    procedure: &'a str,
    given: BTreeMap<String, String>,
    /// Names that were asked for.
    taken: Vec<&'static str>,
}

impl Arguments<'_> {
    fn text(&mut self, name: &'static str) -> Option<String> {
        self.taken.push(name);
        self.given.remove(name)
    }

    fn or_default(&mut self, name: &'static str, default: Option<&str>) -> Result<String> {
        let given = self.text(name).or_else(|| default.map(str::to_owned));
        given.ok_or_else(|| {
            EngineError::invalid(format!("{} needs the argument {name}", self.procedure))
        })
    }

    fn name(&mut self, name: &'static str, default: Option<&str>) -> Result<Name> {
        let text = self.or_default(name, default)?;
        parse_name(&text).map_err(|_| self.wrong(name, &text, "the name of a table"))
    }

    fn number(&mut self, name: &'static str, default: Option<usize>) -> Result<usize> {
        let default = default.map(|number| number.to_string());
        let text = self.or_default(name, default.as_deref())?;
        match usize::from_str(&text) {
            Ok(number @ 1..=MOST) => Ok(number),
            _ => Err(self.wrong(name, &text, format!("a number from 1 to {MOST}"))),
        }
    }

    fn wrong(&self, name: &str, value: &str, wanted: impl fmt::Display) -> EngineError {
        EngineError::invalid(format!(
            "{}({name} => '{value}'): {name} is {wanted}",
            self.procedure
        ))
    }

    /// Refuses what nothing has asked for.
    fn finish(self) -> Result<()> {
        let Some(unknown) = self.given.keys().next() else {
            return Ok(());
        };
        let hint = match nearest(unknown, self.taken.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("it takes {}", self.taken.join(", ")),
        };
        Err(EngineError::invalid(format!(
            "{} takes no argument {unknown}; {hint}",
            self.procedure
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{Statement, parse};

    fn called(sql: &str) -> Result<Procedure> {
        match parse(sql).unwrap().remove(0) {
            Statement::Call(call) => Procedure::of(&call),
            other => panic!("{other:?}"),
        }
    }

    fn name(text: &str) -> Name {
        Name(text.split('.').map(str::to_owned).collect())
    }

    #[test]
    fn what_is_left_out_has_the_zones_tables_for_default() {
        assert_eq!(
            called("CALL extract_features()").unwrap(),
            Procedure::ExtractFeatures(ExtractFeatures {
                source: name("raw.images"),
                target: name("processed.features"),
                model: None,
            })
        );
        assert_eq!(
            called("CALL classify_features(labels => 'raw.labels')").unwrap(),
            Procedure::ClassifyFeatures(ClassifyFeatures {
                source: name("processed.features"),
                target: name("curated.analytics"),
                model_version: None,
                method: Classifier::Nearest {
                    labels: name("raw.labels"),
                    k: 5
                },
            })
        );
        let Procedure::ClassifyFeatures(classify) =
            called("CALL classify_features(method => 'KMeans', clusters => 3)").unwrap()
        else {
            panic!("another procedure");
        };
        assert_eq!(classify.method, Classifier::Kmeans { clusters: 3 });
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        for (sql, wrong) in [
            ("CALL extract()", "there are extract_features"),
            (
                "CALL extract_features(sources => 'a')",
                "did you mean source?",
            ),
            (
                "CALL extract_features(tables => 'a')",
                "it takes source, target, model",
            ),
            (
                "CALL extract_features(source => 'a b')",
                "source is the name of a table",
            ),
            (
                "CALL extract_features(source => 'a.b.c.d')",
                "source is the name of a table",
            ),
            ("CALL classify_features()", "needs the argument labels"),
            (
                "CALL classify_features(method => 'best')",
                "'nearest' or 'kmeans'",
            ),
            (
                "CALL classify_features(method => 'kmeans')",
                "needs the argument clusters",
            ),
            (
                "CALL classify_features(method => 'kmeans', clusters => 0)",
                "from 1 to 1024",
            ),
            (
                "CALL classify_features(labels => 'l', k => 'many')",
                "from 1 to 1024",
            ),
            (
                "CALL classify_features(labels => 'l', clusters => 2)",
                "takes no argument clusters",
            ),
        ] {
            let message = called(sql).unwrap_err().to_string();
            assert!(message.contains(wrong), "{sql}: {message}");
        }
    }
}
