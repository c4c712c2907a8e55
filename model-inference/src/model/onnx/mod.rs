//! ONNX files: what the file says ([`file`]), its graph run by an [`engine`](crate::engine), and its outputs read.

mod file;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use media::RgbImage;
use services::ModelName;
use sha2::{Digest, Sha256};

#[cfg(any(test, fuzzing))]
pub(crate) use file::MAX_SIDE;
pub(crate) use file::{InputShape, OnnxFile};

use super::manifest::{Manifest, NamedLabels};
use super::reading::Reading;
use super::understood::Understood;
use super::{Algorithm, Detection, Model, ModelError};
use crate::engine::{Engine, EngineSession, Tract};
use crate::postprocess::{Tensor, list};
use crate::preprocess::{InputFormat, Placement, Preprocessor};

/// What all instances of one file share.
struct Graph {
    engine: Box<dyn Engine>,
    input: InputFormat,
    /// Pictures per run, their planes one after the other on the channel axis.
    window: u32,
    reading: Reading,
    understood: String,
}

/// Loads the ONNX file at `path` with its manifest, if its tensors take no more than `max_bytes`.
///
/// # Errors
/// When a file is missing or malformed, the graph has an operator that the engine lacks, tensors, head and labels do not
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
    let graph = OnnxFile::read(&bytes)
        .and_then(|file| Graph::load(&file, &manifest, labels, max_bytes))
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
        file: &OnnxFile,
        manifest: &Manifest,
        labels: Option<NamedLabels>,
        max_bytes: u64,
    ) -> Result<Self, String> {
        let shape = file.input(manifest)?;
        let InputShape { channels, width, height } = shape;
        let engine = Tract::load(file, [1, channels, height as usize, width as usize], max_bytes)?;
        Self::new(Box::new(engine), file, manifest, labels, shape)
    }

    /// Settles how pictures become the engine's input, and its outputs detections.
    fn new(
        engine: Box<dyn Engine>,
        file: &OnnxFile,
        manifest: &Manifest,
        labels: Option<NamedLabels>,
        InputShape { channels, width, height }: InputShape,
    ) -> Result<Self, String> {
        let metadata = &file.metadata;
        let reading = Reading::new(manifest, metadata, labels, engine.outputs(), file.scores())?;
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
            metadata,
            input: &input,
            window,
            head: reading.head_name(),
            outputs: list(engine.outputs()),
            labels: reading.labels(),
            score,
            iou,
        };
        let understood = understood.lines();
        Ok(Self { engine, input, window, reading, understood })
    }
}

/// One thread's instance.
struct Instance {
    graph: Arc<Graph>,
    session: Box<dyn EngineSession>,
    preprocessor: Preprocessor,
}

impl Instance {
    fn new(graph: Arc<Graph>) -> Result<Self, ModelError> {
        let session = graph.engine.session()?;
        let preprocessor = Preprocessor::new(graph.input.clone());
        Ok(Self { graph, session, preprocessor })
    }

    /// Makes the input of all pictures; the last one's placement is that of the answers.
    fn input(&mut self, pictures: &[RgbImage]) -> Result<(Vec<f32>, Placement), ModelError> {
        let plane = self.graph.input.width as usize * self.graph.input.height as usize;
        let window = self.graph.window as usize;
        let mut values = vec![0.0_f32; window * 3 * plane];
        let mut last = None;
        for (picture, planes) in pictures.iter().zip(values.chunks_exact_mut(3 * plane)) {
            let filled = self.preprocessor.fill(picture, planes);
            last = Some(filled.map_err(|error| ModelError::Run(error.to_string()))?);
        }
        let placement = last.filter(|_| pictures.len() == window).ok_or_else(|| {
            ModelError::Run(format!("{} pictures came, expected {window}", pictures.len()))
        })?;
        Ok((values, placement))
    }
}

impl Algorithm for Instance {
    fn window(&self) -> u32 {
        self.graph.window
    }

    fn run(&mut self, pictures: &[RgbImage]) -> Result<Vec<Detection>, ModelError> {
        let (input, placement) = self.input(pictures)?;
        let outputs = self.session.run(&input)?;
        let shaped = self.graph.engine.outputs().iter().zip(outputs);
        let tensors: Vec<Tensor<'_>> =
            shaped.map(|(output, values)| Tensor { shape: &output.shape, values }).collect();
        let size = (self.graph.input.width as f32, self.graph.input.height as f32);
        self.graph.reading.detections(&tensors, size, &placement).map_err(ModelError::Run)
    }
}
