"""Picamera2: reads a Raspberry Pi's CSI camera through Debian's Picamera2 library."""

from __future__ import annotations

import importlib
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING

from edge_agent.camera import EagerCamera
from edge_agent.camera.presets import CSI_FRAMES_PER_SECOND, CSI_SIZE
from edge_agent.config.model import named_source
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from edge_agent.config.model import CameraConfig

# libcamera names formats by the order of bits in a machine word; in memory, and in NumPy, this is blue, green, red.
BGR_IN_MEMORY = "RGB888"


class CsiCamera(EagerCamera):
    """A camera in Picamera2. Owned by one thread."""

    def __init__(self, config: CameraConfig) -> None:
        """Open the CSI camera with the number in the source, or the first.

        Raises:
            CameraError: the library is not installed, or there is no such camera.
        """
        _, number = named_source(config.source) or ("", "")
        self._shown = f"picamera2: {number}" if number else "picamera2"
        self._silence_seconds = config.read_timeout_seconds
        try:
            library = importlib.import_module("picamera2")
        except ImportError as error:
            raise CameraError(
                f"{self._shown}: the library cannot be imported ({error}); apt-get install python3-picamera2, and let "
                "the virtual environment see it (--system-site-packages); or write 'source: rpicam', which needs "
                "neither"
            ) from error
        try:
            self._camera = library.Picamera2(int(number or "0"))
        except (IndexError, RuntimeError, OSError) as error:
            raise CameraError(
                f"{self._shown}: no such camera, or in use ({error}); 'rpicam-hello --list-cameras' lists them"
            ) from error
        try:
            self._camera.configure(
                self._camera.create_video_configuration(
                    main={"size": config.frame_size or CSI_SIZE, "format": BGR_IN_MEMORY},
                    controls={"FrameRate": config.capture_fps or CSI_FRAMES_PER_SECOND},
                )
            )
            self._camera.start()
        except (RuntimeError, OSError) as error:
            self._camera.close()
            raise CameraError(f"{self._shown}: does not start ({error}); close other programs that use it") from error

    def grab(self) -> bool:
        """Wait for the next picture, as `Camera`."""
        try:
            self.grabbed = self._camera.capture_array("main", wait=False).get_result(timeout=self._silence_seconds)
        except (TimeoutError, FutureTimeoutError) as error:
            raise CameraError(
                f"{self._shown}: no picture for {self._silence_seconds:.0f} s; check the camera's ribbon cable"
            ) from error
        except (RuntimeError, OSError, ValueError) as error:
            raise CameraError(
                f"{self._shown}: stopped delivering pictures ({error}); check the camera's ribbon cable"
            ) from error
        return True

    def close(self) -> None:
        """Release the camera."""
        self._camera.close()
