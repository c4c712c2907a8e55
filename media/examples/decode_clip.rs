//! Decodes an MP4 or raw `.h264` file to raw I420, to be compared with another decoder's output:
//!
//! ```sh
//! cargo run -p media --example decode_clip -- clip.mp4 ours.yuv
//! ffmpeg -i clip.mp4 -s 640x360 -pix_fmt yuv420p -i ours.yuv -lavfi psnr -f null -
//! ```

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use media::h264::decode::DEFAULT_MAX_PIXELS;
use media::h264::{AnnexBReader, Decoder, OpenH264Decoder};
use media::mp4::Mp4Video;
use media::{AccessUnit, Picture};

/// Decodes an MP4 or raw H.264 file to raw I420.
#[derive(Parser)]
struct Arguments {
    /// File to read
    input: PathBuf,
    /// File to write
    output: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut output = BufWriter::new(File::create(&arguments.output)?);
    let mut decoder = OpenH264Decoder::new(DEFAULT_MAX_PIXELS)?;
    for unit in units(&arguments.input)? {
        write(&mut output, decoder.decode(&unit)?)?;
    }
    write(&mut output, decoder.flush()?)?;
    Ok(output.flush()?)
}

fn units(path: &Path) -> anyhow::Result<Vec<AccessUnit>> {
    if path.extension().is_some_and(|extension| extension == "mp4") {
        return Ok(Mp4Video::open(path)?.units().collect::<Result<_, _>>()?);
    }
    let mut reader = AnnexBReader::new(None);
    let mut units = reader.push(&std::fs::read(path)?)?;
    units.extend(reader.finish());
    Ok(units)
}

fn write(output: &mut impl Write, pictures: Vec<Picture>) -> std::io::Result<()> {
    for picture in pictures {
        let planes = picture.planes();
        for plane in [&planes.y, &planes.u, &planes.v] {
            output.write_all(plane)?;
        }
    }
    Ok(())
}
