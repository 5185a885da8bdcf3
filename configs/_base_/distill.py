# Empty: what a distillation config needs beside its student's, DenseDistill brings itself (the student's own file beside
# each checkpoint, the end of a run whose losses are no numbers). Kept for the configs that name it as a base.
