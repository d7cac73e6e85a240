"""The error tree: every error that is shown to a person as one sentence.

    SmartCRMError                 code, message
    ├── SettingsError             an environment variable or settings file is wrong
    ├── EmbeddedError             an embedded server could not be started or stopped
    ├── SourceError               the CRM's tables can't be read as the contract says
    ├── DaypartsError             dayparts that overlap or are not valid
    ├── LoadError                 a file that can't be loaded: file, line, column, reason
    ├── RequestError              a request for runs that is not valid
    │   └── BusyError             one that may be repeated later
    └── UnavailableError          PostgreSQL or Redis can't be reached, or no worker listens

`code` is the stable `error_code` in runs, problem documents and logs; `str(error)` is the sentence. Any other exception
is a bug and shows its traceback.
"""


def sentence(text: str) -> str:
    """The text with one full stop at its end, also if it ends in a quoted message that has its own."""
    return text.rstrip(".") + "."


class SmartCRMError(Exception):
    """An error with a stable code and a message of one sentence."""

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
