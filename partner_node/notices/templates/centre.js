(function () {
  "use strict";
  var form = document.getElementById("say");
  var field = document.getElementById("id");
  var said = document.getElementById("said");
  form.hidden = false;
  form.noValidate = true;
  document.getElementById("unscripted").hidden = true;
  document.getElementById("other").hidden = false;
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    var id = field.value.trim();
    if (!id) {
      said.textContent = form.dataset.missing;
      field.setAttribute("aria-invalid", "true");
      field.focus();
      return;
    }
    field.removeAttribute("aria-invalid");
    var kind = form.querySelector("input[name=kind]:checked").value;
    var line = ['"' + id.replace(/"/g, '""') + '"', kind, new Date().toISOString()].join(",");
    var file = new Blob(["customer_id,kind,at\r\n" + line + "\r\n"], { type: "text/csv" });
    var link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = form.dataset.file;
    link.click();
    URL.revokeObjectURL(link.href);
    said.textContent = form.dataset.made;
  });
})();
