"""The one error tree: every fault that a person should read as one sentence.

    SmartCRMError                 code, message
    ├── SettingsError             an environment variable or settings file is wrong
    ├── EmbeddedError             an embedded server could not be started or stopped
    ├── SourceError               the CRM's tables can't be read as the contract says
    ├── DaypartsError             dayparts that overlap or make no sense
    ├── LoadError                 a file that can't be loaded: file, line, column, reason
    ├── RequestError              a request for runs that makes no sense
    │   └── BusyError             one that may be asked again later
    └── UnavailableError          PostgreSQL or Redis can't be reached, or no worker listens

`code` is the stable `error_code` that runs, problem documents and logs carry; `str(error)` is the
sentence for people. Anything else that is raised is a fault of ours and shows its traceback.
"""


def sentence(text: str) -> str:
    """The text with one full stop at its end, also where it ends in words of others that brought their own."""
    return text.rstrip(".") + "."


class SmartCRMError(Exception):
    """A fault with a stable code and one clear sentence."""

    code = "internal_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(sentence(message))
        if code is not None:
            self.code = code


class SettingsError(SmartCRMError):
    code = "invalid_settings"


class EmbeddedError(SmartCRMError):
    code = "embedded_server_failed"


class SourceError(SmartCRMError):
    code = "source_unreadable"


class DaypartsError(SmartCRMError):
    code = "invalid_dayparts"


class LoadError(SmartCRMError):
    code = "load_failed"


class RequestError(SmartCRMError):
    code = "invalid_request"


class BusyError(RequestError):
    code = "too_many_waiting"


class UnavailableError(SmartCRMError):
    code = "unavailable"
