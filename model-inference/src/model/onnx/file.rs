//! What an ONNX file says, whatever will run its graph.

use tract_onnx::onnx;
use tract_onnx::pb;
use tract_onnx::prelude::Framework as _;

use crate::model::manifest::Manifest;
use crate::model::metadata::Metadata;
use crate::model::mistaken::mistaken;
use crate::model::scores::Scores;

/// An ONNX file.
pub(crate) struct OnnxFile {
    proto: pb::ModelProto,
    /// What its exporter wrote beside the graph.
    pub(crate) metadata: Metadata,
}

/// The shape of a graph's only input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputShape {
    /// Three for each picture.
    pub(crate) channels: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl OnnxFile {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are none of an ONNX file, with what they are as far as that can be told.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if let Some(other) = mistaken(bytes) {
            return Err(format!("it is {other}"));
        }
        let proto = onnx()
            .proto_model_for_read(&mut &bytes[..])
            .map_err(|_| "it is no ONNX file, or it is damaged or cut off")?;
        let properties = proto.metadata_props.iter().map(|p| (p.key.as_str(), p.value.as_str()));
        let metadata = Metadata::read(properties);
        Ok(Self { proto, metadata })
    }

    /// The file as its own format has it.
    pub(crate) fn proto(&self) -> &pb::ModelProto {
        &self.proto
    }

    /// The outputs' names, in the order of the file.
    pub(crate) fn output_names(&self) -> impl Iterator<Item = String> {
        self.proto.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone())
    }

    /// What the graph's operators say of a classification's scores.
    pub(super) fn scores(&self) -> Option<Scores> {
        self.proto.graph.as_ref().and_then(Scores::of_graph)
    }

    /// The shape of the graph's only input; what the graph leaves open comes from manifest or metadata.
    ///
    /// # Errors
    /// When the graph has another input than pictures, or its size is told nowhere, or otherwise by the manifest.
    pub(crate) fn input(&self, manifest: &Manifest) -> Result<InputShape, String> {
        let graph = self.proto.graph.as_ref().ok_or("it has no graph")?;
        let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        let inputs: Vec<_> = graph.input.iter().filter(|input| !constant(&input.name)).collect();
        let [input] = inputs.as_slice() else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(format!("it has the inputs {names:?}, expected one picture"));
        };
        let dims = dimensions(input);
        let found = || {
            let show =
                |dim: &Option<usize>| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string());
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
            return Err(format!(
                "{}, expected [1, 3, height, width] (or a multiple of 3)",
                found()
            ));
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
        let size = declared.or(manifest.input_size).or(self.metadata.input_size);
        let (width, height) = size
            .filter(|&(width, height)| {
                (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height)
            })
            .ok_or_else(|| {
                format!(
                    "{}, expected sides of 1 to {MAX_SIDE}, or input_size in the manifest",
                    found()
                )
            })?;
        Ok(InputShape { channels, width, height })
    }
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
