// The camera, answered live: the newest frame is looked at when the answer before is there, those between are never
// seen. A frame that looks like the last one is that one: its features are in the model's cache, so that a new question
// about it costs only the words, and the same question nothing.

/** Pixels of the longer side of a frame that is looked at. */
const SIDE = 640;
/** Side of the thumbnail that tells whether a frame changed. */
const THUMBNAIL = 24;
/** Mean difference of a thumbnail's pixels, of 255, that noise alone makes. */
const NOISE = 4;

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Camera {
  #video;
  #stream;
  #frame = null;
  #thumbnail = null;
  #question = null;
  #controller = new AbortController();
  #times = [];

  /** Answers about a frame: `(frame, question, task, signal)`. */
  answer = async () => ({});
  onQuestion = () => {};
  onAnswer = () => {};
  onError = () => {};
  onEnd = () => {};

  static async start(video) {
    const camera = new Camera();
    const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
    camera.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", ...size } });
    camera.#video = video;
    video.srcObject = camera.#stream;
    await video.play();
    return camera;
  }

  /** Asks this of every frame from now on. */
  ask(question, task) {
    const first = !this.#question;
    this.#question = { question, task, answered: null };
    this.onQuestion(question);
    if (first) this.#run();
  }

  stop() {
    this.#controller.abort();
    for (const track of this.#stream.getTracks()) track.stop();
    this.#video.srcObject = null;
    this.onEnd();
  }

  async #run() {
    const { signal } = this.#controller;
    while (!signal.aborted) {
      const asked = this.#question;
      const unchanged = !this.#look();
      try {
        const answer =
          unchanged && asked.answered ? asked.answered : await this.answer(this.#frame, asked.question, asked.task, signal);
        if (signal.aborted) return;
        asked.answered = answer;
        if (asked === this.#question) this.onAnswer(answer, { rate: this.#rate(), unchanged });
      } catch (error) {
        if (!signal.aborted) this.onError(error);
        return;
      }
      // The screen needs its turn, and a still picture no processor.
      await delay(unchanged ? 120 : 0);
    }
  }

  /** Takes the newest frame; `false` where it looks like the last, which then stays. */
  #look() {
    const { videoWidth, videoHeight } = this.#video;
    const scale = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
    const thumbnail = draw(this.#video, THUMBNAIL, THUMBNAIL).data;
    const difference = this.#thumbnail
      ? thumbnail.reduce((sum, value, at) => sum + Math.abs(value - this.#thumbnail[at]), 0) / thumbnail.length
      : Infinity;
    if (difference < NOISE) return false;
    this.#thumbnail = thumbnail;
    this.#frame = draw(this.#video, Math.round(videoWidth * scale), Math.round(videoHeight * scale));
    return true;
  }

  /** Frames a second, of the last few. */
  #rate() {
    this.#times = [...this.#times.slice(-9), performance.now()];
    const span = this.#times.at(-1) - this.#times[0];
    return span ? ((this.#times.length - 1) * 1000) / span : 0;
  }
}

function draw(video, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
