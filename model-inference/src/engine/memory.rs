//! What a graph may allocate: told by the shapes of its tensors before any of them is made, since a process that asks
//! for memory that is not there is ended, other models included. Axes that only a run tells are not counted.

use std::collections::HashSet;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;

/// Infers the graph's shapes node by node as far as they follow from what is before them, and ends before a tensor of
/// more than `most` bytes: inference computes values as soon as it knows a node's inputs.
pub(super) fn infer_within(model: &mut InferenceModel, most: u64) -> TractResult<()> {
    for node in model.eval_order()? {
        let (inputs, outputs) = model.node_facts(node)?;
        let inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        let observed = model.node(node).op.observe_outlets(model, model.node(node))?;
        let observed = observed.into_iter().map(|outlet| model.outlet_fact(outlet).cloned());
        let observed = observed.collect::<TractResult<TVec<InferenceFact>>>()?;
        let known =
            || (inputs.iter().collect(), outputs.iter().collect(), observed.iter().collect());
        let op = &mut model.node_mut(node).op;
        let (i, o, by) = known();
        // What is wrong besides, the whole inference says better.
        let Ok((_, shapes, _)) = op.infer_facts(i, o, by) else { continue };
        let largest = shapes.iter().map(bytes_of).max().unwrap_or(0);
        if largest > most {
            anyhow::bail!(
                "node {:?} makes a tensor of {largest} bytes, at most {most} are allowed (key `max_bytes` of the model)",
                model.node(node).name
            );
        }
        let (i, o, by) = known();
        let Ok((_, inferred, _)) = model.node_mut(node).op.infer(i, o, by) else { continue };
        for (slot, fact) in inferred.into_iter().enumerate() {
            model.set_outlet_fact(OutletId::new(node, slot), fact)?;
        }
    }
    Ok(())
}

fn bytes_of(fact: &InferenceFact) -> u64 {
    let Some(axes) = fact.shape.concretize() else { return 0 };
    let item = fact.datum_type.concretize().map_or(1, |kind| kind.size_of() as u64);
    let extent = |axis: &TDim| axis.to_i64().ok().and_then(|axis| u64::try_from(axis).ok());
    let extents: Option<Vec<u64>> = axes.iter().map(extent).collect();
    extents
        .map_or(0, |extents| extents.iter().fold(item, |bytes, axis| bytes.saturating_mul(*axis)))
}

/// Checks that a graph's constants and the tensors that one run holds at once are no more than `most` bytes.
pub(super) fn check(model: &TypedModel, most: u64) -> TractResult<()> {
    let Needed { constants, run } = Needed::of(model)?;
    if constants.saturating_add(run) > most {
        anyhow::bail!(
            "its constants take {constants} bytes and the tensors of a run {run}, at most {most} are allowed together \
             (key `max_bytes` of the model)"
        );
    }
    Ok(())
}

/// Bytes that a graph's tensors take.
#[derive(Debug, PartialEq, Eq)]
struct Needed {
    constants: u64,
    /// The most that a run holds at once: from the node that makes a tensor to the last that uses it.
    run: u64,
}

impl Needed {
    fn of(model: &TypedModel) -> TractResult<Self> {
        let order = model.eval_order()?;
        let kept: HashSet<usize> =
            model.output_outlets()?.iter().map(|outlet| outlet.node).collect();
        let mut uses: Vec<usize> = model
            .nodes()
            .iter()
            .map(|node| node.outputs.iter().map(|o| o.successors.len()).sum())
            .collect();
        let (mut constants, mut run, mut held) = (0_u64, 0_u64, 0_u64);
        for id in order {
            let node = model.node(id);
            if is_constant(node) {
                constants = constants.saturating_add(bytes(node));
                continue;
            }
            held = held.saturating_add(bytes(node));
            run = run.max(held);
            for input in node.inputs.iter().map(|outlet| outlet.node) {
                uses[input] = uses[input].saturating_sub(1);
                if uses[input] == 0 && !kept.contains(&input) && !is_constant(model.node(input)) {
                    held = held.saturating_sub(bytes(model.node(input)));
                }
            }
        }
        Ok(Self { constants, run })
    }
}

fn is_constant(node: &TypedNode) -> bool {
    node.outputs.iter().all(|output| output.fact.konst.is_some())
}

fn bytes(node: &TypedNode) -> u64 {
    let size = |output: &Outlet<TypedFact>| {
        output.fact.mem_size().to_i64().ok().and_then(|bytes| u64::try_from(bytes).ok())
    };
    node.outputs.iter().map(|output| size(output).unwrap_or(0)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb;
    use tract_onnx::pb::attribute_proto::AttributeType;

    use super::*;

    fn ints(name: &str, values: &[i64]) -> pb::TensorProto {
        pb::TensorProto {
            name: name.to_owned(),
            dims: vec![i64::try_from(values.len()).unwrap()],
            data_type: pb::tensor_proto::DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..pb::TensorProto::default()
        }
    }

    fn node(kind: &str, name: &str, inputs: &[&str]) -> pb::NodeProto {
        pb::NodeProto {
            op_type: kind.to_owned(),
            name: name.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            ..pb::NodeProto::default()
        }
    }

    /// `zeros`, of a shape that the graph computes from `sides`, and `output`, whatever became of it.
    fn zeros(sides: &[i64]) -> InferenceModel {
        let mut zeros = node("ConstantOfShape", "zeros", &["shape"]);
        zeros.attribute = vec![pb::AttributeProto {
            name: "value".to_owned(),
            r#type: AttributeType::Tensor as i32,
            t: Some(ints("", &[0])),
            ..pb::AttributeProto::default()
        }];
        let graph = pb::GraphProto {
            node: vec![
                node("Mul", "shape", &["sides", "one"]),
                zeros,
                node("Neg", "output", &["zeros"]),
            ],
            initializer: vec![ints("sides", sides), ints("one", &[1])],
            output: vec![pb::ValueInfoProto {
                name: "output".to_owned(),
                ..pb::ValueInfoProto::default()
            }],
            ..pb::GraphProto::default()
        };
        let version = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
        let proto = pb::ModelProto {
            ir_version: 8,
            opset_import: vec![version],
            graph: Some(graph),
            ..pb::ModelProto::default()
        };
        tract_onnx::onnx().model_for_proto_model(&proto).unwrap()
    }

    #[test]
    fn a_constant_that_does_not_fit_is_named_before_it_is_made() {
        let error = infer_within(&mut zeros(&[1_000_000, 1_000_000]), 1 << 30).unwrap_err();
        let expected =
            "node \"zeros\" makes a tensor of 8000000000000 bytes, at most 1073741824 are allowed";
        assert!(error.to_string().starts_with(expected), "{error:#}");
    }

    #[test]
    fn constants_that_fit_are_as_good_as_without_a_bound() {
        let mut model = zeros(&[2, 3]);
        infer_within(&mut model, 1 << 10).unwrap();
        let typed = model.into_optimized().unwrap();
        assert_eq!(Needed::of(&typed).unwrap().run, 0);
        check(&typed, 2 * 3 * 8).unwrap();
        let error = check(&typed, 2 * 3 * 8 - 1).unwrap_err();
        assert!(error.to_string().starts_with("its constants take 48 bytes"), "{error:#}");
    }

    #[test]
    fn a_run_holds_a_tensor_from_its_making_to_its_last_use() {
        let mut model = TypedModel::default();
        let source = model.add_source("source", f32::fact([10])).unwrap();
        let mut last = source;
        for number in 0..5 {
            let op = tract_onnx::tract_core::ops::math::neg();
            last = model.wire_node(format!("neg{number}"), op, &[last]).unwrap()[0];
        }
        model.select_output_outlets(&[last]).unwrap();
        assert_eq!(Needed::of(&model).unwrap(), Needed { constants: 0, run: 80 });
    }
}
