"""Training. From the photos to the run folder, in the order in which the loop meets them:

`presets`: what a training is; `photos`: in memory; `batches`: drawn from them, by `degradation`;
`arithmetic`: bf16 or fp32; `networks`: what is trained, and a step of it (`steps`: its losses, `widening`:
large from small); `held_out`: the evaluation meanwhile; `run_folder` and `checkpoint`: what is kept;
`progress`: what is said; `loop`: all of it.
"""
