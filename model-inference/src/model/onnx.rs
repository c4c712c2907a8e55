//! ONNX files under tract: batch 1, one thread per instance, the optimised graph shared by all of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use media::RgbImage;
use services::ModelName;
use sha2::{Digest, Sha256};
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::SimpleState;
use tract_onnx::tract_hir::infer::Factoid;

use super::manifest::{Manifest, NamedLabels};
use super::metadata::Metadata;
use super::mistaken::mistaken;
use super::reading::Reading;
use super::scores::Scores;
use super::understood::Understood;
use super::{Algorithm, Detection, Model, ModelError, memory};
use crate::postprocess::{Tensor as Output, TensorShape, list};
use crate::preprocess::{InputFormat, Placement, Preprocessor};

type Plan = RunnableModel<TypedFact, Box<dyn TypedOp>>;
type State = SimpleState<TypedFact, Box<dyn TypedOp>>;

/// What all instances of one file share.
struct Graph {
    plan: Arc<Plan>,
    input: InputFormat,
    /// Pictures per run, their planes one after the other on the channel axis.
    window: u32,
    reading: Reading,
    outputs: Vec<TensorShape>,
    understood: String,
}

/// Loads the ONNX file at `path` with its manifest, if its tensors take no more than `max_bytes`.
///
/// # Errors
/// When a file is missing or malformed, the graph has an operator that tract lacks, tensors, head and labels do not
/// fit each other, or the tensors are too large.
pub fn load(
    name: &ModelName,
    path: &Path,
    manifest: Option<&Path>,
    max_bytes: u64,
) -> Result<Model, ModelError> {
    let bytes = read(path, max_bytes)?;
    let (manifest, manifest_path) = Manifest::find(path, manifest)?;
    let labels = manifest.labels(manifest_path.as_deref())?;
    let version = manifest.version.clone().unwrap_or_else(|| content_hash(&bytes));
    let graph = Graph::load(&bytes, &manifest, labels, max_bytes)
        .map_err(|cause| ModelError::Load { path: path.to_owned(), cause })?;
    model(name.clone(), version, Arc::new(graph))
}

fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let unread = |cause| ModelError::Read { what: "model", path: path.to_owned(), cause };
    let bytes = fs::metadata(path).map_err(unread)?.len();
    if bytes > max_bytes {
        let cause = format!(
            "it has {bytes} bytes, at most {max_bytes} are allowed (key `max_bytes` of the model)"
        );
        return Err(ModelError::Load { path: path.to_owned(), cause });
    }
    fs::read(path).map_err(unread)
}

fn model(name: ModelName, version: String, graph: Arc<Graph>) -> Result<Model, ModelError> {
    let (fit, input) = (graph.input.fit, (graph.input.width, graph.input.height));
    let understood = graph.understood.clone();
    let make = move || Ok(Box::new(Instance::new(Arc::clone(&graph))?) as Box<dyn Algorithm>);
    let needs =
        move |picture| Placement::new(fit, picture, input).map(|placement| placement.needed());
    Ok(Model::new(name, version, make)?.needing(needs).understood_as(understood))
}

fn content_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Graph {
    fn load(
        bytes: &[u8],
        manifest: &Manifest,
        labels: Option<NamedLabels>,
        max_bytes: u64,
    ) -> Result<Self, String> {
        if let Some(other) = mistaken(bytes) {
            return Err(format!("it is {other}"));
        }
        let proto = onnx()
            .proto_model_for_read(&mut &bytes[..])
            .map_err(|_| "it is no ONNX file, or it is damaged or cut off")?;
        let properties = proto.metadata_props.iter().map(|p| (p.key.as_str(), p.value.as_str()));
        let metadata = Metadata::read(properties);
        let (channels, width, height) = input_shape(&proto, manifest, &metadata)?;
        let plan = plan(&proto, [1, channels, height as usize, width as usize], max_bytes)
            .map_err(|error| format!("{error:#}"))?;
        let outputs = output_shapes(&proto, &plan)?;
        let scores = proto.graph.as_ref().and_then(Scores::of_graph);
        let reading = Reading::new(manifest, &metadata, labels, &outputs, scores)?;
        let (scale, shift) = manifest.normalisation();
        let input = InputFormat {
            width,
            height,
            fit: manifest.resize.unwrap_or_else(|| reading.usual_fit()),
            order: manifest.colour.unwrap_or_default(),
            scale,
            shift,
        };
        let window = u32::try_from(channels / 3).map_err(|error| error.to_string())?;
        let (score, iou) = reading.thresholds();
        let understood = Understood {
            manifest,
            metadata: &metadata,
            input: &input,
            window,
            head: reading.head_name(),
            outputs: list(&outputs),
            labels: reading.labels(),
            score,
            iou,
        };
        let understood = understood.lines();
        Ok(Self { plan, input, window, reading, outputs, understood })
    }
}

/// Channels, width and height of the graph's only input; what the graph leaves open comes from manifest or
/// metadata.
pub(crate) fn input_shape(
    proto: &pb::ModelProto,
    manifest: &Manifest,
    metadata: &Metadata,
) -> Result<(usize, u32, u32), String> {
    let graph = proto.graph.as_ref().ok_or("it has no graph")?;
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs: Vec<_> = graph.input.iter().filter(|input| !constant(&input.name)).collect();
    let [input] = inputs.as_slice() else {
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(format!("it has the inputs {names:?}, expected one picture"));
    };
    let dims = dimensions(input);
    let found = || {
        let show = |dim: &Option<usize>| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string());
        let dims: Vec<String> = dims.iter().map(show).collect();
        format!("input {:?} is [{}]", input.name, dims.join(", "))
    };
    let &[batch, channels, height, width] = dims.as_slice() else {
        return Err(format!("{}, expected [1, 3, height, width]", found()));
    };
    if width == Some(3) && channels != Some(3) {
        return Err(format!("{} (NHWC), expected [1, 3, height, width]", found()));
    }
    let channels = channels.unwrap_or(3);
    if batch.is_some_and(|batch| batch != 1) || channels == 0 || channels % 3 != 0 {
        return Err(format!("{}, expected [1, 3, height, width] (or a multiple of 3)", found()));
    }
    let declared =
        width.zip(height).and_then(|(w, h)| u32::try_from(w).ok().zip(u32::try_from(h).ok()));
    if let (Some(declared), Some(wanted)) = (declared, manifest.input_size)
        && declared != wanted
    {
        return Err(format!(
            "{}, the manifest has input_size = {wanted:?} (width, height)",
            found()
        ));
    }
    let size = declared.or(manifest.input_size).or(metadata.input_size);
    let (width, height) = size
        .filter(|&(width, height)| {
            (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height)
        })
        .ok_or_else(|| {
            format!("{}, expected sides of 1 to {MAX_SIDE}, or input_size in the manifest", found())
        })?;
    Ok((channels, width, height))
}

/// The longest side of an input: beyond it a single tensor would take gigabytes.
pub(crate) const MAX_SIDE: u32 = 8_192;

fn dimensions(input: &pb::ValueInfoProto) -> Vec<Option<usize>> {
    use pb::tensor_shape_proto::dimension::Value;
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Vec::new();
    };
    let fixed = |value: &Option<Value>| match value {
        Some(Value::DimValue(dim)) => usize::try_from(*dim).ok().filter(|&dim| dim > 0),
        _ => None,
    };
    let dims = tensor.shape.iter().flat_map(|shape| &shape.dim);
    dims.map(|dim| fixed(&dim.value)).collect()
}

/// Optimises the graph for one input shape. The output shapes that exporters write are often wrong or open, so
/// they are derived anew.
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

fn output_shapes(proto: &pb::ModelProto, plan: &Plan) -> Result<Vec<TensorShape>, String> {
    let names =
        proto.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone());
    let read = |(i, name): (usize, String)| {
        let fact = plan.model().output_fact(i).map_err(|error| format!("{error:#}"))?;
        match fact.shape.as_concrete() {
            Some(shape) => Ok(TensorShape { name, shape: shape.to_vec() }),
            None => Err(format!("output {name:?} is {:?}, expected fixed axes", fact.shape)),
        }
    };
    names.enumerate().map(read).collect()
}

/// One thread's instance.
struct Instance {
    graph: Arc<Graph>,
    state: State,
    preprocessor: Preprocessor,
}

impl Instance {
    fn new(graph: Arc<Graph>) -> Result<Self, ModelError> {
        let state = graph.plan.spawn().map_err(run_error)?;
        let preprocessor = Preprocessor::new(graph.input.clone());
        Ok(Self { graph, state, preprocessor })
    }

    /// Makes the input of all pictures; the last one's placement is that of the answers.
    fn input(&mut self, pictures: &[RgbImage]) -> Result<(Tensor, Placement), ModelError> {
        let (width, height) = (self.graph.input.width as usize, self.graph.input.height as usize);
        let window = self.graph.window as usize;
        let mut values = vec![0.0_f32; window * 3 * height * width];
        let mut last = None;
        for (picture, planes) in pictures.iter().zip(values.chunks_exact_mut(3 * height * width)) {
            let filled = self.preprocessor.fill(picture, planes);
            last = Some(filled.map_err(|error| ModelError::Run(error.to_string()))?);
        }
        let placement = last.filter(|_| pictures.len() == window).ok_or_else(|| {
            ModelError::Run(format!("{} pictures came, expected {window}", pictures.len()))
        })?;
        let tensor =
            Tensor::from_shape(&[1, window * 3, height, width], &values).map_err(run_error)?;
        let datum_type = self.graph.plan.model().input_fact(0).map_err(run_error)?.datum_type;
        let tensor = tensor.cast_to_dt(datum_type).map_err(run_error)?.into_owned();
        Ok((tensor, placement))
    }
}

impl Algorithm for Instance {
    fn window(&self) -> u32 {
        self.graph.window
    }

    fn run(&mut self, pictures: &[RgbImage]) -> Result<Vec<Detection>, ModelError> {
        let (input, placement) = self.input(pictures)?;
        let results = self.state.run(tvec![input.into()]).map_err(run_error)?;
        let floats = results.iter().map(|result| result.cast_to::<f32>());
        let floats = floats.collect::<TractResult<Vec<_>>>().map_err(run_error)?;
        let values = floats.iter().map(|tensor| tensor.try_as_plain_ram()?.as_slice::<f32>());
        let values = values.collect::<TractResult<Vec<_>>>().map_err(run_error)?;
        let outputs: Vec<Output<'_>> = self
            .graph
            .outputs
            .iter()
            .zip(&values)
            .map(|(shape, values)| Output { shape: &shape.shape, values })
            .collect();
        let size = (self.graph.input.width as f32, self.graph.input.height as f32);
        self.graph.reading.detections(&outputs, size, &placement).map_err(ModelError::Run)
    }
}

fn run_error(error: TractError) -> ModelError {
    ModelError::Run(format!("{error:#}"))
}
