//! `length`, `octet_length` and `bit_length` of BINARY, which Spark and PostgreSQL know and DataFusion does not:
//! its functions take text, and go on doing so here.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::kernels::length;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions::{string, unicode};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The functions, under the names that DataFusion has for them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let of_text = [
        (unicode::character_length(), Unit::Bytes),
        (string::octet_length(), Unit::Bytes),
        (string::bit_length(), Unit::Bits),
    ];
    let functions = of_text.map(|(of_text, unit)| BinaryLength {
        of_text,
        unit,
        signature: Signature::user_defined(Volatility::Immutable),
    });
    functions
        .map(|function| Arc::new(ScalarUDF::from(function)))
        .to_vec()
}

/// What BINARY is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Bytes,
    Bits,
}

/// A function of DataFusion's for text, and for BINARY beside it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct BinaryLength {
    of_text: Arc<ScalarUDF>,
    unit: Unit,
    signature: Signature,
}

impl ScalarUDFImpl for BinaryLength {
    fn name(&self) -> &str {
        self.of_text.name()
    }

    fn aliases(&self) -> &[String] {
        self.of_text.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [of_binary] if of_binary.is_binary() => Ok(types.to_vec()),
            _ => {
                let argument = |data_type: &DataType| {
                    Arc::new(Field::new("argument", data_type.clone(), true))
                };
                let fields: Vec<_> = types.iter().map(argument).collect();
                let coerced = fields_with_udf(&fields, self.of_text.as_ref())?;
                Ok(coerced.iter().map(|f| f.data_type().clone()).collect())
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::LargeBinary] => Ok(DataType::Int64),
            [of_binary] if of_binary.is_binary() => Ok(DataType::Int32),
            _ => self.of_text.return_type(types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let of = |binary: &ArrayRef| match self.unit {
            Unit::Bytes => length::length(binary),
            Unit::Bits => length::bit_length(binary),
        };
        match args.args.as_slice() {
            [argument] if !argument.data_type().is_binary() => self.of_text.invoke_with_args(args),
            [ColumnarValue::Array(binary)] => Ok(ColumnarValue::Array(of(binary)?)),
            [ColumnarValue::Scalar(binary)] => {
                let counted = of(&binary.to_array()?)?;
                let counted = ScalarValue::try_from_array(&counted, 0)?;
                Ok(ColumnarValue::Scalar(counted))
            }
            arguments => exec_err!(
                "{} takes one argument, not {}",
                self.name(),
                arguments.len()
            ),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of_text.documentation()
    }
}
