//! What looks at files, as init would start it: the real one, in threads of the test.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use cib_files::place::{Root, Roots};
use cib_files::serve;

use super::world::World;

/// Answers for the test's workspace, and looks at the machine's own root.
pub fn serve(world: &World) {
    std::fs::create_dir_all(world.path().join("claude")).unwrap();
    let roots = Roots(vec![
        root("workspace", world.workspace(), true),
        root("claude", world.path().join("claude"), true),
        root("box", PathBuf::from("/"), false),
    ]);
    listen(&world.runtime(), move |stream| {
        // A connection that a test breaks is no fault.
        let _ = serve::answer(stream, &roots);
    });
}

/// Says the same whatever it is asked: as the agent could.
pub fn lie(world: &World, said: Vec<u8>) {
    listen(&world.runtime(), move |mut stream| {
        let mut length = [0; 4];
        let _ = stream.read_exact(&mut length);
        let mut head = vec![0; u32::from_be_bytes(length) as usize];
        let _ = stream.read_exact(&mut head);
        let _ = stream.write_all(&said);
    });
}

fn root(name: &str, path: PathBuf, writable: bool) -> Root {
    Root {
        name: name.to_owned(),
        path,
        writable,
    }
}

fn listen(runtime: &Path, answer: impl Fn(UnixStream) + Clone + Send + 'static) {
    let folder = runtime.join("files");
    std::fs::create_dir_all(&folder).unwrap();
    let listener = UnixListener::bind(folder.join("files.sock")).unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
}
