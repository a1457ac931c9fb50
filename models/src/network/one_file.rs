//! Refuses ONNX files that name other files. ONNX lets a tensor say where its numbers are, and a runtime that obeys
//! would read any file near the process, its `.env` say, for whoever may create a model.
//!
//! Looks at the encoding itself (protobuf) and not at a parsed model: parsers know the fields of their own version
//! of ONNX and drop the rest, and a runtime may know more.

/// Deepest nesting of messages; a graph in a graph takes three. Parsers go down recursively too.
const MAX_DEPTH: usize = 90;

/// The messages in which a tensor can be.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Training,
    SparseTensor,
    Tensor,
}

impl Message {
    /// What a field that holds a message holds, if a tensor can be in it. Numbers as in `onnx.proto`.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => {
                Self::Tensor
            }
            _ => return None,
        })
    }
}

/// Fields of a tensor that say where else its numbers are.
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

/// That all of the model is in `file`.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    walk(Message::Model, file, MAX_DEPTH)
}

fn walk(message: Message, mut rest: &[u8], depth: usize) -> Result<(), String> {
    let broken = || "it is not an ONNX model: its encoding is broken".to_owned();
    if depth == 0 {
        return Err(format!("its graphs are nested more than {MAX_DEPTH} deep"));
    }
    while !rest.is_empty() {
        let tag = varint(&mut rest).ok_or_else(broken)?;
        // Parsers cut a larger one off, and would see another field in it.
        let tag = u64::from(u32::try_from(tag).map_err(|_| broken())?);
        let (field, wire_type) = (tag >> 3, tag & 7);
        let mut elsewhere = matches!((message, field), (Message::Tensor, EXTERNAL_DATA));
        match wire_type {
            0 => {
                let value = varint(&mut rest).ok_or_else(broken)?;
                elsewhere |=
                    matches!((message, field), (Message::Tensor, DATA_LOCATION)) && value != 0;
            }
            1 => _ = take(&mut rest, 8).ok_or_else(broken)?,
            5 => _ = take(&mut rest, 4).ok_or_else(broken)?,
            2 => {
                let length = varint(&mut rest).ok_or_else(broken)?;
                let content = take(&mut rest, length).ok_or_else(broken)?;
                if let Some(inner) = message.field(field) {
                    walk(inner, content, depth - 1)?;
                }
            }
            _ => return Err(broken()),
        }
        if elsewhere {
            return Err(
                "it keeps weights in other files; save it with all of them in one file, as \
                 onnx.save(onnx.load(path), path, save_as_external_data=False) does"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// The next number, of seven bits per byte, lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests;
