"""Tables: tasks, the entries that are compared, run folders, pictures and the command line."""

from dgl_dysign.experiments.run_folder import RunFolder
from dgl_dysign.experiments.saved_models import SavedModels

__all__ = ["RunFolder", "SavedModels"]
