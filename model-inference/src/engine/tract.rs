//! Graphs under tract: batch 1, one thread per session, the optimised graph shared by all of them.

use std::sync::Arc;

use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;
use tract_onnx::tract_hir::infer::Factoid;

use super::{Engine, EngineSession, memory};
use crate::model::ModelError;
use crate::model::onnx::OnnxFile;
use crate::postprocess::TensorShape;

type Plan = RunnableModel<TypedFact, Box<dyn TypedOp>>;
type State = SimpleState<TypedFact, Box<dyn TypedOp>>;

/// A graph, optimised for one shape of its input.
pub(crate) struct Tract {
    plan: Arc<Plan>,
    shape: [usize; 4],
    outputs: Vec<TensorShape>,
}

impl Tract {
    /// Optimises a file's graph for inputs of `shape`, if its tensors take no more than `max_bytes`.
    ///
    /// # Errors
    /// When the graph is none that tract can run, or its tensors are too large.
    pub(crate) fn load(file: &OnnxFile, shape: [usize; 4], max_bytes: u64) -> Result<Self, String> {
        let plan = plan(file.proto(), shape, max_bytes).map_err(|error| format!("{error:#}"))?;
        let outputs = output_shapes(file.output_names(), &plan)?;
        Ok(Self { plan, shape, outputs })
    }
}

impl Engine for Tract {
    fn outputs(&self) -> &[TensorShape] {
        &self.outputs
    }

    fn session(&self) -> Result<Box<dyn EngineSession>, ModelError> {
        let state = self.plan.spawn().map_err(run_error)?;
        let datum_type = self.plan.model().input_fact(0).map_err(run_error)?.datum_type;
        Ok(Box::new(TractSession { state, shape: self.shape, datum_type, outputs: tvec![] }))
    }
}

/// The output shapes that exporters write are often wrong or open, so they are derived anew.
fn plan(proto: &pb::ModelProto, shape: [usize; 4], max_bytes: u64) -> TractResult<Arc<Plan>> {
    let mut model = onnx().model_for_proto_model(proto)?;
    let datum_type = model.input_fact(0)?.datum_type.concretize().unwrap_or(f32::datum_type());
    if !datum_type.is_float() {
        let name = &model.node(model.input_outlets()?[0].node).name;
        let held = format!("{datum_type:?}").to_lowercase();
        anyhow::bail!("input {name:?} holds {held}, expected 32- or 16-bit floats");
    }
    model.set_input_fact(0, InferenceFact::dt_shape(datum_type, shape))?;
    for output in 0..model.output_outlets()?.len() {
        model.set_output_fact(output, InferenceFact::default())?;
    }
    memory::infer_within(&mut model, max_bytes)?;
    let typed = model.into_typed()?;
    memory::check(&typed, max_bytes)?;
    let optimized = typed.into_optimized()?;
    memory::check(&optimized, max_bytes)?;
    optimized.into_runnable()
}

fn output_shapes(
    names: impl Iterator<Item = String>,
    plan: &Plan,
) -> Result<Vec<TensorShape>, String> {
    let read = |(i, name): (usize, String)| {
        let fact = plan.model().output_fact(i).map_err(|error| format!("{error:#}"))?;
        match fact.shape.as_concrete() {
            Some(shape) => Ok(TensorShape { name, shape: shape.to_vec() }),
            None => Err(format!("output {name:?} is {:?}, expected fixed axes", fact.shape)),
        }
    };
    names.enumerate().map(read).collect()
}

struct TractSession {
    state: State,
    shape: [usize; 4],
    /// What the graph's input holds.
    datum_type: DatumType,
    /// The last run's, of 32-bit floats.
    outputs: TVec<TValue>,
}

impl TractSession {
    fn run(&mut self, input: &[f32]) -> TractResult<Vec<&[f32]>> {
        let input = Tensor::from_shape(&self.shape, input)?;
        let input = input.cast_to_dt(self.datum_type)?.into_owned();
        let outputs = self.state.run(tvec![input.into()])?;
        self.outputs = outputs.into_iter().map(floats).collect::<TractResult<_>>()?;
        let values = self.outputs.iter().map(|output| output.try_as_plain_ram()?.as_slice());
        values.collect()
    }
}

fn floats(value: TValue) -> TractResult<TValue> {
    if value.datum_type() == f32::datum_type() {
        return Ok(value);
    }
    Ok(value.cast_to::<f32>()?.into_owned().into())
}

impl EngineSession for TractSession {
    fn run(&mut self, input: &[f32]) -> Result<Vec<&[f32]>, ModelError> {
        self.run(input).map_err(run_error)
    }
}

fn run_error(error: TractError) -> ModelError {
    ModelError::Run(format!("{error:#}"))
}
