//! What runs an ONNX graph. `tract` is built in and always there; whatever comes beside it comes behind [`Engine`], and
//! neither the preparation of its input nor the reading of its outputs knows which one it is.
//!
//! # Contract
//! * A graph is loaded for one shape of its one input, and tells the shapes of its outputs before anything is run. One that
//!   has an operator that the engine lacks, an output of open shape, or takes more memory than is allowed is refused then.
//! * Sessions share the graph. Each is one thread's, and does one run at a time, on that thread alone.
//! * Numbers go in and come out as 32-bit floats, the last axis fastest, whatever the graph computes with.

mod memory;
mod tract;

use crate::model::ModelError;
use crate::postprocess::TensorShape;

pub(crate) use tract::Tract;

/// A graph that can be run. The module tells its contract.
pub(crate) trait Engine: Send + Sync {
    /// The outputs, in the order of the file.
    fn outputs(&self) -> &[TensorShape];

    /// Makes a session for one thread.
    ///
    /// # Errors
    /// When the engine cannot start.
    fn session(&self) -> Result<Box<dyn EngineSession>, ModelError>;
}

/// One thread's use of a graph.
pub(crate) trait EngineSession: Send {
    /// Runs the graph; gives the values of each output, until the next run.
    ///
    /// # Errors
    /// When this run came to nothing.
    fn run(&mut self, input: &[f32]) -> Result<Vec<&[f32]>, ModelError>;
}
