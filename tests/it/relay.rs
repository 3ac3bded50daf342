//! What lies between a site and its central: it hears what a stranger on the way would hear, and it is where a central can be
//! away, cut off, or somebody else.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Where a relay leads.
#[derive(Clone)]
pub enum Way {
    /// Connections end unanswered.
    Nowhere,
    /// There and back.
    To(SocketAddr),
    /// There; what comes back is lost.
    AnswersLost(SocketAddr),
    /// There, but only so many bytes of each request.
    CutGoing(SocketAddr, usize),
    /// There and back, but only so many bytes of each answer.
    CutComing(SocketAddr, usize),
    /// There; what comes back is the answer to the request before, or nothing.
    Crossed(SocketAddr),
    /// To somebody who knows one old answer.
    Old,
    /// To somebody who says always the same, whatever he is asked.
    Says(Arc<Vec<u8>>),
    /// To somebody who says it byte by byte, never to the end.
    Drips,
}

impl Way {
    /// To a central that is too busy for anybody.
    pub fn busy() -> Self {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        Self::Says(Arc::new(answer.as_bytes().to_vec()))
    }
}

/// Takes HTTP requests on a port of its own, one a connection, remembers them and passes them on; until the tests end.
pub struct Relay {
    address: SocketAddr,
    way: Arc<Mutex<Way>>,
    heard: Arc<Mutex<Heard>>,
}

/// Requests and answers, as they came.
#[derive(Default)]
struct Heard {
    requests: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
}

impl Relay {
    /// Adds header lines to every request.
    pub fn start(headers: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (way, heard) = (Arc::new(Mutex::new(Way::Nowhere)), Arc::new(Mutex::new(Heard::default())));
        let shared = (Arc::clone(&way), Arc::clone(&heard));
        let headers = format!("Connection: close\r\n{headers}");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (headers, (way, heard)) = (headers.clone(), shared.clone());
                // A client that goes away in between is its own affair: it sees that it has no answer.
                std::thread::spawn(move || drop(pass_on(stream, &headers, &way, &heard)));
            }
        });
        Self { address, way, heard }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn lead(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    /// The requests, each whole.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().requests.clone()
    }
}

fn pass_on(mut stream: TcpStream, headers: &str, way: &Mutex<Way>, heard: &Mutex<Heard>) -> io::Result<()> {
    let request = read_request(&stream, headers)?;
    heard.lock().unwrap().requests.push(request.clone());
    let answered = |central: SocketAddr| -> io::Result<Vec<u8>> {
        let answer = exchange(central, &request)?;
        heard.lock().unwrap().answers.push(answer.clone());
        Ok(answer)
    };
    let way = way.lock().unwrap().clone();
    match way {
        Way::Nowhere => Ok(()),
        Way::To(central) => stream.write_all(&answered(central)?),
        Way::AnswersLost(central) => answered(central).map(drop),
        Way::CutGoing(central, bytes) => {
            let mut onward = TcpStream::connect(central)?;
            onward.write_all(&request[..bytes.min(request.len())])?;
            onward.shutdown(Shutdown::Both)
        }
        Way::CutComing(central, bytes) => {
            let answer = answered(central)?;
            stream.write_all(&answer[..bytes.min(answer.len())])
        }
        Way::Crossed(central) => {
            let before = heard.lock().unwrap().answers.last().cloned();
            answered(central)?;
            stream.write_all(&before.unwrap_or_default())
        }
        Way::Old => {
            let oldest = heard.lock().unwrap().answers.first().cloned();
            stream.write_all(&oldest.unwrap_or_default())
        }
        Way::Says(answer) => stream.write_all(&answer),
        Way::Drips => {
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n<Envelope" {
                stream.write_all(&[*byte])?;
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
            Ok(())
        }
    }
}

/// A whole request, with other words about the connection.
fn read_request(stream: &TcpStream, headers: &str) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (Vec::new(), 0);
    loop {
        let start = request.len();
        if reader.read_until(b'\n', &mut request)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&request[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        } else if line.starts_with("connection:") {
            request.truncate(start);
        } else if line.trim().is_empty() {
            request.truncate(start);
            request.extend_from_slice(format!("{headers}\r\n").as_bytes());
            break;
        }
    }
    reader.take(length).read_to_end(&mut request)?;
    Ok(request)
}

/// Sends a request that closes its connection, and gives the whole answer.
pub fn exchange(to: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
