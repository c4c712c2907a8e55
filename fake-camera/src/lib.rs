//! fake-camera.
