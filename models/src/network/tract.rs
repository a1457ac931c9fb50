//! Networks run by tract.

use std::sync::Arc;

use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TDim,
    Tensor, ToDim, TractResult, TypedModel, TypedRunnableModel, tvec,
};
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use super::runtime::{Declared, DeclaredInput, Model, Plan, contained};

const NAME: &str = "tract";

/// Reads an ONNX file.
pub(super) fn read(file: &[u8]) -> Result<(Declared, Box<dyn Model>), String> {
    let read = contained(NAME, "reading it", || {
        let framework = tract_onnx::onnx().with_ignore_value_info(true);
        let model = framework.model_for_read(&mut &*file)?;
        let declared = declared(&model)?;
        TractResult::Ok((declared, model))
    });
    let (declared, model) =
        read.map_err(|reason| format!("it is not an ONNX model that tract can read ({reason})"))?;
    Ok((declared, Box::new(model)))
}

fn declared(model: &InferenceModel) -> TractResult<Declared> {
    let input = |index| {
        let fact = model.input_fact(index)?;
        let number = fact.datum_type.concretize();
        let sizes = fact
            .shape
            .dims()
            .map(|size| size.concretize().and_then(|size| size.to_usize().ok()));
        TractResult::Ok(DeclaredInput {
            number: number.map_or_else(
                || "unknown".to_owned(),
                |number| format!("{number:?}").to_lowercase(),
            ),
            // An open shape may have more dimensions than those it names.
            sizes: (!fact.shape.is_open()).then(|| sizes.collect()),
        })
    };
    let outputs = model.outputs.iter();
    Ok(Declared {
        inputs: (0..model.inputs.len())
            .map(input)
            .collect::<TractResult<_>>()?,
        outputs: outputs
            .map(|outlet| model.outlet_label(*outlet).unwrap_or_default().to_owned())
            .collect(),
    })
}

impl Model for InferenceModel {
    fn plan(
        &self,
        batch: Option<usize>,
        row_shape: &[usize],
        output: &str,
    ) -> Result<Box<dyn Plan>, String> {
        let plan = contained(NAME, "preparing it", || {
            optimized(self.clone(), batch, row_shape, output)?.into_runnable()
        });
        let plan = plan.map_err(|reason| format!("tract cannot prepare it ({reason})"))?;
        Ok(Box::new(plan))
    }
}

/// The model with its input fixed to `batch` rows, or to any number, of `row_shape`, reduced to `output`.
fn optimized(
    mut model: InferenceModel,
    batch: Option<usize>,
    row_shape: &[usize],
    output: &str,
) -> TractResult<TypedModel> {
    let batch = match batch {
        Some(rows) => rows.to_dim(),
        None => model.symbols.sym("shoal_batch").to_dim(),
    };
    let sizes: Vec<TDim> = std::iter::once(batch)
        .chain(row_shape.iter().map(|size| size.to_dim()))
        .collect();
    model.set_input_fact(0, InferenceFact::dt_shape(DatumType::F32, sizes))?;
    model.select_outputs_by_name([output])?;
    model.into_optimized()
}

impl Plan for Arc<TypedRunnableModel> {
    fn run(&self, shape: &[usize], input: Vec<f32>) -> Result<Vec<f32>, String> {
        contained(NAME, "running it", || {
            let input = Tensor::from_shape(shape, &input)?;
            let outputs = TypedRunnableModel::run(self, tvec![input.into()])?;
            let Some(output) = outputs.into_iter().next() else {
                return TractResult::Ok(Vec::new());
            };
            let numbers = output.cast_to::<f32>()?;
            Ok(numbers
                .to_plain_array_view::<f32>()?
                .iter()
                .copied()
                .collect())
        })
    }
}
