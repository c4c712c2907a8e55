//! Whether a classification's outputs are probabilities or logits: told when the model is loaded, never by values.

use serde::Deserialize;
use tract_onnx::pb;

/// What a classification's outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// From 0 to 1; those of several labels at once need not sum to 1.
    Probabilities,
    /// Any numbers: a softmax makes probabilities of them.
    Logits,
}

impl Scores {
    /// What the operators before a graph's first output make of it; `None` when they do not tell.
    pub(super) fn of_graph(graph: &pb::GraphProto) -> Option<Self> {
        let mut name = graph.output.first()?.name.as_str();
        // A graph has no loops; one that has ends here.
        for _ in 0..=graph.node.len() {
            let node =
                graph.node.iter().find(|node| node.output.iter().any(|made| made == name))?;
            match node.op_type.as_str() {
                "Softmax" | "Sigmoid" | "HardSigmoid" => return Some(Self::Probabilities),
                // A softmax undoes a logarithm of one.
                "Add" | "BatchNormalization" | "Conv" | "Gemm" | "LogSoftmax" | "MatMul"
                | "Relu" => {
                    return Some(Self::Logits);
                }
                kind if KEEPS.contains(&kind) => name = node.input.first()?.as_str(),
                _ => return None,
            }
        }
        None
    }
}

/// Operators that make probabilities of probabilities, and logits of logits.
const KEEPS: [&str; 12] = [
    "AveragePool",
    "Cast",
    "DequantizeLinear",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "Identity",
    "QuantizeLinear",
    "ReduceMean",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of operators, the last of which makes the output.
    fn told_by(kinds: &[&str]) -> Option<Scores> {
        let node = |(place, kind): (usize, &&str)| pb::NodeProto {
            op_type: (*kind).to_owned(),
            input: vec![place.to_string()],
            output: vec![(place + 1).to_string()],
            ..pb::NodeProto::default()
        };
        let output =
            pb::ValueInfoProto { name: kinds.len().to_string(), ..pb::ValueInfoProto::default() };
        Scores::of_graph(&pb::GraphProto {
            node: kinds.iter().enumerate().map(node).collect(),
            output: vec![output],
            ..pb::GraphProto::default()
        })
    }

    #[test]
    fn the_last_operator_that_changes_scores_tells_what_they_are() {
        let cases: [(&[&str], Option<Scores>); 7] = [
            (&["Gemm", "Softmax"], Some(Scores::Probabilities)),
            (&["Conv", "Sigmoid", "Reshape", "Cast"], Some(Scores::Probabilities)),
            (&["Softmax", "Gemm"], Some(Scores::Logits)),
            (&["Conv", "Relu", "GlobalAveragePool", "Flatten"], Some(Scores::Logits)),
            (&["Gemm", "LogSoftmax"], Some(Scores::Logits)),
            (&["Softmax", "Mul"], None),
            (&["Identity"], None),
        ];
        for (kinds, scores) in cases {
            assert_eq!(told_by(kinds), scores, "{kinds:?}");
        }
    }

    #[test]
    fn a_graph_that_runs_in_a_circle_tells_nothing() {
        let node = |from: &str, to: &str| pb::NodeProto {
            op_type: "Identity".to_owned(),
            input: vec![from.to_owned()],
            output: vec![to.to_owned()],
            ..pb::NodeProto::default()
        };
        let graph = pb::GraphProto {
            node: vec![node("a", "b"), node("b", "a")],
            output: vec![pb::ValueInfoProto {
                name: "a".to_owned(),
                ..pb::ValueInfoProto::default()
            }],
            ..pb::GraphProto::default()
        };
        assert_eq!(Scores::of_graph(&graph), None);
    }
}
