"""From a folder of labelled images to a project that trains a student with its teacher: ``mmkd new``."""

from .project import Created, create_project

__all__ = ['Created', 'create_project']
