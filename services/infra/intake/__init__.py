"""What a part brings and what it is asked by: its picture and its recipe.

`submission` is a door of its own, since it brings the stores and Celery with it; `images` holds what is done
to pixels, `yaml_file` how a file that a person wrote is read.
"""

from services.infra.intake.images import Grey, Rgb
from services.infra.intake.picture import Picture, encode_picture, read_picture
from services.infra.intake.recipes import RecipeBook, load_recipe

__all__ = ["Grey", "Picture", "RecipeBook", "Rgb", "encode_picture", "load_recipe", "read_picture"]
