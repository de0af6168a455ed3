"""Real videos and a real network camera, written and served by the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
from numpy.typing import NDArray

from services.infra.intake.images import decode

RED = (200, 20, 20)
"""What the camera sees, as RGB."""


def red_frame(number: int) -> NDArray[np.uint8]:
    """A red picture with a mark that stands elsewhere in every frame: BGR, as OpenCV writes it."""
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[:] = RED[::-1]
    picture[(number * 8) % 88 :, : 8 + number % 8] = 255
    return picture


def write_video(path: Path, frames: int, per_second: float = 25.0) -> Path:
    """A lossless video of red frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), per_second, (128, 96))
    for number in range(frames):
        writer.write(red_frame(number))
    writer.release()
    return path


def is_red(encoded: bytes) -> bool:
    """Whether the picture is still red, and not blue, as RGB."""
    red, green, blue = np.median(decode(encoded).reshape(-1, 3), axis=0)
    return bool(red > 150 and green < 80 and blue < 80)


class _Camera(BaseHTTPRequestHandler):
    """Sends a few frames as motion JPEG and hangs up, like a camera with a bad cable."""

    frames_per_connection = 6
    number = 0

    def do_GET(self) -> None:
        """Answer one connection."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for _ in range(self.frames_per_connection):
            type(self).number += 1
            encoded = cv2.imencode(".jpg", red_frame(self.number))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(encoded)}\r\n\r\n"
            self.wfile.write(head.encode() + encoded + b"\r\n")

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@contextmanager
def network_camera() -> Iterator[str]:
    """The address of a camera that hangs up after every six frames and answers again."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Camera)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stream"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
