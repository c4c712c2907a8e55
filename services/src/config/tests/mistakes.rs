//! All mistakes of a file at once.

use super::*;

fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let file = Some((text, Path::new("m.toml")));
    let survey = survey::survey_text(file, &environment, &Overrides::default());
    survey.mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let text = "dat = \"d\"\n\
                [streams.gate]\nurl = \"rtsp://camera/1\"\nsilence = \"soon\"\npassword = \"${NOT_SET}\"\n\
                [streams.yard]\nmodels = [\"shapes\"]\n\
                [models.shapes]\npath = \"s.onnx\"\nsample = { quality = 300, every = \"1s\" }\n\
                [models.both]\npath = \"s.onnx\"\nalgorithm = \"circles\"\n";
    let found = mistakes(text, &[("MILLRACE_INFER__INSTANCES", "many")]);
    let named = [
        ["m.toml:5:12", "streams.gate.password", "NOT_SET"],
        ["m.toml:1:1", "dat", "did you mean \"data\""],
        ["MILLRACE_INFER__INSTANCES", "infer.instances", "many"],
        ["m.toml:13:13", "models.both.algorithm", "excludes the key \"path\""],
        ["m.toml:10:22", "models.shapes.sample.quality", "300"],
        ["m.toml:4:11", "streams.gate.silence", "soon"],
        ["m.toml:6", "streams.yard", "missing key \"url\""],
    ];
    for words in named {
        let is_told = |line: &&String| words.iter().all(|word| line.contains(word));
        assert_eq!(found.iter().filter(is_told).count(), 1, "{words:?} in {found:#?}");
    }
    assert_eq!(found.len(), named.len(), "{found:#?}");
}

#[test]
fn every_mistake_of_one_list_is_told_with_its_place() {
    let text = "[streams.gate]\nurl = \"scene:\"\nmodels = [1, \"circles\", \"no name\", \"a\", \"b\"]\n\
                [models.circles]\nalgorithm = \"circles\"\n[aws]\nfifo = [\"c\", \"d\"]\n";
    let found = mistakes(text, &[]);
    let named = [
        ["m.toml:3:11", "streams.gate.models.0"],
        ["m.toml:3:25", "streams.gate.models.2"],
        ["m.toml:3:10", "models \"a\", \"b\" are not defined; defined: circles"],
        ["m.toml:7:8", "models \"c\", \"d\" are not defined"],
    ];
    for words in named {
        let is_told = |line: &&String| words.iter().all(|word| line.contains(word));
        assert_eq!(found.iter().filter(is_told).count(), 1, "{words:?} in {found:#?}");
    }
    assert_eq!(found.len(), named.len(), "{found:#?}");
}

#[test]
fn a_mistake_that_another_one_brings_about_is_not_told() {
    let text = "[streams.gate]\nurl = 7\nmodels = [\"shapes\"]\n[models.shapes]\npath = \"s.onnx\"\n\
                algorithm = \"circles\"\n";
    let found = mistakes(text, &[]);
    assert_eq!(found.len(), 2, "neither a missing url nor an unknown model: {found:#?}");
    assert!(!found.concat().contains("missing key"), "{found:#?}");
}

#[test]
fn a_model_that_is_wrong_itself_is_not_said_to_be_unknown_and_others_are() {
    let named = "[streams.gate]\nurl = \"scene:\"\nmodels = [\"shapes\", \"crabs\"]\n[aws]\nfifo = [\"shapes\"]\n";
    let unknown = "model \"crabs\" is not defined";
    for wrong in [
        "[models]\nshapes = 5\n",
        "[models.shapes]\nalgorithm = \"${NOT_SET}\"\n",
        "[models.shapes]\n",
    ] {
        let found = mistakes(&format!("{named}{wrong}"), &[]);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found.iter().any(|mistake| mistake.contains(unknown)), "{found:#?}");
        assert!(!found.concat().contains("models \"shapes\""), "{found:#?}");
    }
    let found = mistakes(&format!("models = 5\n{named}"), &[]);
    assert_eq!(found.len(), 1, "no model is known then: {found:#?}");
    let listed = [("MILLRACE_STREAMS__GATE__MODELS", "shapes")];
    let found = mistakes(&format!("{named}[models.shapes]\n"), &listed);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_text_that_is_no_toml_is_one_mistake() {
    assert_eq!(mistakes("[streams.gate\n", &[]).len(), 1);
}
