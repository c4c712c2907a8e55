//! Files that are taken for ONNX files, told by their first bytes.

/// What people take for an ONNX file, by its first bytes.
pub(super) fn mistaken(bytes: &[u8]) -> Option<&'static str> {
    const EXPORT: &str = "a PyTorch file, no ONNX file: \"yolo export model=… format=onnx\" or torch.onnx.export writes one";
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    let text = bytes.trim_ascii_start();
    if bytes.is_empty() {
        Some("empty")
    } else if begins(b"PK\x03\x04") || begins(b"\x80\x02") {
        Some(EXPORT)
    } else if begins(b"version https://git-lfs") {
        Some("a Git LFS pointer, no ONNX file: \"git lfs pull\" fetches the file itself")
    } else if bytes.get(4..8) == Some(b"TFL3") {
        Some("a TensorFlow Lite file, no ONNX file")
    } else if begins(b"\x89HDF\r\n") {
        Some("an HDF5 file (Keras), no ONNX file")
    } else if text.starts_with(b"<?xml") || text.starts_with(b"<net ") {
        Some("XML (OpenVINO), no ONNX file")
    } else if text.starts_with(b"<!") || text.starts_with(b"<html") {
        Some("a web page, no ONNX file: what was downloaded is no model")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_onnx_file_is_told() {
        for (bytes, words) in [
            (&b""[..], "empty"),
            (b"PK\x03\x04\0\0", "PyTorch"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"\x89HDF\r\n\x1a\n", "Keras"),
            (b"<?xml version=\"1.0\"?>\n<net name=", "OpenVINO"),
            (b"\n<!doctype html>", "web page"),
        ] {
            let told = mistaken(bytes).unwrap();
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(mistaken(b"\x08\x08\x12\x07pytorch"), None);
    }
}
